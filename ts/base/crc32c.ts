/**
 * CRC32C (Castagnoli, reflected 0x82f63b78) in plain TypeScript: for small headers on the hot path,
 * the simulator and tools. The addon has the fast one for blocks; tests hold the two against each other.
 * Slicing by eight tables: one lookup per byte, eight bytes per step.
 */
const TABLES = 8
const table = new Int32Array(256 * TABLES)

for (let byte = 0; byte < 256; byte += 1) {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  table[byte] = crc
}
for (let slice = 1; slice < TABLES; slice += 1) {
  for (let byte = 0; byte < 256; byte += 1) {
    const before = table[(slice - 1) * 256 + byte]!
    table[slice * 256 + byte] = (before >>> 8) ^ table[before & 0xff]!
  }
}

/** CRC32C of `bytes[from, to)`, continued from `seed`; the result is an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, seed = 0): number {
  let crc = ~seed
  let at = from
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      table[0x700 + (low & 0xff)]! ^
      table[0x600 + ((low >>> 8) & 0xff)]! ^
      table[0x500 + ((low >>> 16) & 0xff)]! ^
      table[0x400 + (low >>> 24)]! ^
      table[0x300 + bytes[at + 4]!]! ^
      table[0x200 + bytes[at + 5]!]! ^
      table[0x100 + bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!
  }
  for (; at < to; at += 1) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
