import fc from 'fast-check'
import t from 'tap'
import { NativeMemory } from '../../ts/adapters/memory.ts'
import { MemoryBatch } from '../../ts/base/memory-batch.ts'
import type { Memory, MemoryPort } from '../../ts/ports/memory.ts'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { runs } from './runs.ts'

const BLOCKS = 12
const kinds = ['copy', 'blocks', 'seal', 'verify seal', 'verify blocks', 'zero'] as const
const step = fc.record({
  kind: fc.constantFrom(...kinds),
  from: fc.nat(3 * 4096),
  to: fc.nat(3 * 4096),
  length: fc.oneof(fc.nat(100), fc.nat(4096)),
  sum: fc.nat(2),
})

/** Sources in the first six blocks, targets in the next ones, checksums in the last. */
function add(
  batch: MemoryBatch,
  { address }: Memory,
  action: typeof step extends fc.Arbitrary<infer S> ? S : never,
) {
  const from = address + action.from
  const to = address + 6 * 4096 + action.to
  const sums = address + (BLOCKS - 1) * 4096 + action.sum * 8
  const blocks = action.length % 3
  switch (action.kind) {
    case 'copy':
      return batch.copy(from, to, action.length)
    case 'blocks':
      return batch.copyWithChecksums(from, to, blocks, sums)
    case 'seal':
      return batch.seal(from, action.length, to, 60, sums)
    case 'verify seal':
      return batch.verifySeal(from, action.length, to, 60, sums)
    case 'verify blocks':
      return batch.verifyBlocks(to, blocks, sums)
    case 'zero':
      return batch.zero(to, action.length)
  }
}

const native = new NativeMemory()
const nativePiece = native.allocate(BLOCKS * 4096)

t.test('the addon carries out a batch as its plain twin does', async (t) => {
  const seen = { good: 0, failed: 0 }
  const property = fc.property(fc.array(step, { maxLength: 30, size: 'max' }), fc.nat(255), (steps, fill) => {
    const twin = new MemoryTwin()
    const twinPiece = twin.allocate(BLOCKS * 4096)
    const outcome = (memory: MemoryPort, piece: Memory) => {
      for (let at = 0; at < BLOCKS * 4096; at += 1) piece.bytes[at] = at * fill + (at >> 7)
      const batch = new MemoryBatch(4)
      for (const one of steps) add(batch, piece, one)
      return [
        memory.run(batch),
        batch.firstFailure,
        batch.count,
        memory.checksum(piece.address + 5, 4000, fill),
      ]
    }
    const [own, other] = [outcome(native, nativePiece), outcome(twin, twinPiece)]
    if (JSON.stringify(own) !== JSON.stringify(other)) throw new Error(`${own} is not ${other}`)
    seen[own[0] === 0 ? 'good' : 'failed'] += 1
    return Buffer.compare(nativePiece.bytes, twinPiece.bytes) === 0
  })
  fc.assert(property, runs(150))
  t.ok(seen.good > 5 && seen.failed > 20, JSON.stringify(seen))
})
