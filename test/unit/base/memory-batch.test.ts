import t from 'tap'
import { MemoryBatch, MemoryOp, STEP_WORDS } from '../../../ts/base/memory-batch.ts'

const step = (batch: MemoryBatch, index: number) =>
  Array.from(batch.steps.subarray(index * STEP_WORDS, (index + 1) * STEP_WORDS))

t.test('each step is written down as the addon reads it', async (t) => {
  const batch = new MemoryBatch(8)
  batch.copy(10, 20, 30)
  batch.copyWithChecksums(10, 20, 3, 40)
  batch.storeWithChecksums(10, 20, 3, 40)
  batch.seal(10, 20, 30, 40, 50)
  batch.verifySeal(10, 20, 30, 40, 50)
  batch.verifyBlocks(10, 2, 30)
  batch.zero(10, 20)
  t.equal(batch.count, 7)
  t.same(
    Array.from({ length: 7 }, (_, index) => step(batch, index)),
    [
      [MemoryOp.COPY, 10, 20, 30, 0, 0],
      [MemoryOp.COPY_CHECKSUM, 10, 20, 3, 40, 0],
      [MemoryOp.COPY_CHECKSUM, 10, 20, 3, 40, 1],
      [MemoryOp.SEAL, 10, 20, 30, 40, 50],
      [MemoryOp.VERIFY_SEAL, 10, 20, 30, 40, 50],
      [MemoryOp.VERIFY_BLOCKS, 10, 2, 30, 0, 0],
      [MemoryOp.ZERO, 10, 20, 0, 0, 0],
    ],
  )
})

t.test('a batch grows, and a grown one keeps its steps', async (t) => {
  const batch = new MemoryBatch(2)
  for (let i = 1; i <= 9; i += 1) batch.zero(i * 4096, i)
  t.equal(batch.count, 9)
  t.same(
    Array.from({ length: 9 }, (_, i) => step(batch, i).slice(0, 3)),
    Array.from({ length: 9 }, (_, i) => [MemoryOp.ZERO, (i + 1) * 4096, i + 1]),
  )
  batch.clear()
  t.equal(batch.count, 0)
})

t.test('a step without an address is our bug', async (t) => {
  t.throws(() => new MemoryBatch().copy(0, 4096, 1), /needs an address/)
})
