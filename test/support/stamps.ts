import { assert } from '../../ts/base/assert.ts'

/** Bytes of a sector: the unit in which tests write and know what they wrote. */
export const SECTOR = 512
const WORDS = SECTOR / 4
const MAGIC = 0x4c43524f // 'ORCL'

export interface Stamp {
  readonly tag: number
  readonly sector: number
  readonly version: number
}

/** Fills sectors so that each shows which volume, sector and version it is, in every word. */
export function stampSectors(into: Buffer, tag: number, firstSector: number, version: number): void {
  assert(into.byteOffset % 4 === 0 && into.length % SECTOR === 0, 'stamps are whole, aligned sectors')
  const words = new Uint32Array(into.buffer, into.byteOffset, into.length / 4)
  for (let at = 0; at < words.length; at += WORDS) {
    const sector = firstSector + at / WORDS
    words[at] = MAGIC
    words[at + 1] = tag
    words[at + 2] = sector
    words[at + 3] = version
    let state = (Math.imul(sector, 0x9e3779b1) ^ Math.imul(version, 0x85ebca77) ^ tag) | 1
    for (let word = 4; word < WORDS; word += 1) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[at + word] = state
    }
  }
}

export function stamped(tag: number, firstSector: number, count: number, version: number): Buffer {
  const buffer = Buffer.from(new ArrayBuffer(count * SECTOR))
  stampSectors(buffer, tag, firstSector, version)
  return buffer
}

/** What a sector says of itself; undefined if it is not a stamp that is whole, 'zero' if it is empty. */
export function readStamp(bytes: Buffer): Stamp | 'zero' | undefined {
  if (bytes.every((byte) => byte === 0)) return 'zero'
  if (bytes.readUInt32LE() !== MAGIC) return undefined
  const [tag, sector, version] = [bytes.readUInt32LE(4), bytes.readUInt32LE(8), bytes.readUInt32LE(12)]
  return stamped(tag, sector, 1, version).equals(bytes) ? { tag, sector, version } : undefined
}
