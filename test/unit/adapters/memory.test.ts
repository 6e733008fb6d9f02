import t from 'tap'
import { NativeMemory } from '../../../ts/adapters/memory.ts'
import { crc32c } from '../../../ts/base/crc32c.ts'
import { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { fillWith } from './driving.ts'

const port = new NativeMemory()

t.test('memory is zeroed, page-aligned and of the length asked for', async (t) => {
  const memory = port.allocate(3 * BLOCK_SIZE)
  t.equal(memory.byteLength, 3 * BLOCK_SIZE)
  t.equal(memory.bytes.length, 3 * BLOCK_SIZE)
  t.equal(memory.address % BLOCK_SIZE, 0)
  t.ok(memory.address > 0)
  t.ok(memory.bytes.every((byte) => byte === 0))
  t.equal(memory.u32.buffer, memory.bytes.buffer)
  t.throws(() => port.allocate(0), /1 byte to 4 GiB/)
  t.throws(() => port.allocate(2 ** 32 + 1), /1 byte to 4 GiB/)
})

t.test('CRC32C has the value of the standard, and the same as the one in TypeScript', async (t) => {
  const memory = port.allocate(64 * 1024)
  memory.bytes.set(Buffer.from('123456789'))
  t.equal(port.checksum(memory.address, 9), 0xe3069283)
  t.equal(port.checksum(memory.address, 0), 0)
  fillWith(memory, 11)
  for (const length of [1, 7, 8, 9, 100, 4079, 4080, 4081, 4096, 8159, 8160, 8161, 20_000, 65_529]) {
    for (const from of [0, 1, 7]) {
      const expected = crc32c(memory.bytes, from, from + length)
      t.equal(port.checksum(memory.address + from, length), expected, `${length} bytes from ${from}`)
      const part = port.checksum(memory.address + from, length >> 1)
      const rest = length - (length >> 1)
      t.equal(port.checksum(memory.address + from + (length >> 1), rest, part), expected, 'continued')
    }
  }
})

t.test('a batch copies, seals, checks and clears, in order', async (t) => {
  const memory = port.allocate(64 * BLOCK_SIZE)
  const at = (block: number) => memory.address + block * BLOCK_SIZE
  fillWith(memory, 12, 0, 4 * BLOCK_SIZE)
  const batch = new MemoryBatch(1)
  batch.copyWithChecksums(at(0), at(8), 4, at(20))
  batch.copy(at(8) + 100, at(16), 300)
  batch.seal(at(0), 1000, at(1), 24, at(21))
  batch.verifyBlocks(at(8), 4, at(20))
  batch.verifySeal(at(0), 1000, at(1), 24, at(21))
  batch.zero(at(0), 5)
  t.equal(port.run(batch), 0)
  t.equal(batch.firstFailure, -1)
  t.equal(batch.count, 0, 'and it is empty again')

  const { bytes, u32 } = memory
  t.ok(bytes.subarray(0, 5).every((byte) => byte === 0))
  t.ok(
    Buffer.from(bytes.subarray(5, 4 * BLOCK_SIZE)).equals(
      bytes.subarray(8 * BLOCK_SIZE + 5, 12 * BLOCK_SIZE),
    ),
  )
  const moved = bytes.subarray(8 * BLOCK_SIZE + 100, 8 * BLOCK_SIZE + 400)
  t.ok(Buffer.from(moved).equals(bytes.subarray(16 * BLOCK_SIZE, 16 * BLOCK_SIZE + 300)))
  for (let i = 0; i < 4; i += 1) {
    const from = (8 + i) * BLOCK_SIZE
    t.equal(u32[(20 * BLOCK_SIZE) / 4 + i], crc32c(bytes, from, from + BLOCK_SIZE))
  }
  const first = crc32c(bytes, 8 * BLOCK_SIZE, 8 * BLOCK_SIZE + 1000)
  t.equal(u32[(21 * BLOCK_SIZE) / 4], crc32c(bytes, BLOCK_SIZE, BLOCK_SIZE + 24, first))
})

t.test('what nobody reads soon is copied with the same checksums', async (t) => {
  const memory = port.allocate(16 * BLOCK_SIZE)
  const at = (block: number) => memory.address + block * BLOCK_SIZE
  fillWith(memory, 14, 0, 4 * BLOCK_SIZE)
  const batch = new MemoryBatch()
  batch.copyWithChecksums(at(0), at(4), 4, at(14))
  batch.storeWithChecksums(at(0), at(8), 4, at(15))
  batch.verifyBlocks(at(8), 4, at(14))
  t.equal(port.run(batch), 0)
  const block = (first: number, count: number) =>
    Buffer.from(memory.bytes.subarray(first * BLOCK_SIZE, (first + count) * BLOCK_SIZE))
  t.ok(block(8, 4).equals(block(0, 4)))
  t.ok(block(15, 1).equals(block(14, 1)))
})

t.test('a block that is already in its place only gets its checksum', async (t) => {
  const memory = port.allocate(2 * BLOCK_SIZE)
  fillWith(memory, 13, 0, BLOCK_SIZE)
  const before = Buffer.from(memory.bytes.subarray(0, BLOCK_SIZE))
  const batch = new MemoryBatch()
  batch.copyWithChecksums(memory.address, memory.address, 1, memory.address + BLOCK_SIZE)
  t.equal(port.run(batch), 0)
  t.ok(before.equals(memory.bytes.subarray(0, BLOCK_SIZE)))
  t.equal(memory.u32[BLOCK_SIZE / 4], crc32c(before))
})

t.test('failed checks are counted, the first is named, and the later steps still run', async (t) => {
  const memory = port.allocate(8 * BLOCK_SIZE)
  const at = (block: number) => memory.address + block * BLOCK_SIZE
  const batch = new MemoryBatch()
  batch.copyWithChecksums(at(0), at(1), 2, at(4))
  batch.seal(at(0), 16, at(1), 16, at(5))
  t.equal(port.run(batch), 0)
  memory.bytes[2 * BLOCK_SIZE + 4095] = 1
  batch.verifySeal(at(0), 16, at(1), 16, at(5))
  batch.verifyBlocks(at(1), 2, at(4))
  batch.verifySeal(at(0), 17, at(1), 16, at(5))
  batch.copy(at(2), at(6), BLOCK_SIZE)
  t.equal(port.run(batch), 2)
  t.equal(batch.firstFailure, 1)
  t.equal(memory.bytes[6 * BLOCK_SIZE + 4095], 1)
  batch.verifyBlocks(at(1), 1, at(4))
  t.equal(port.run(batch), 0, 'the block before the damaged one is good')
  t.equal(batch.firstFailure, -1, 'the next run begins anew')
  t.equal(port.run(batch), 0, 'an empty batch does nothing')
})
