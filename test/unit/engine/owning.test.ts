import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { whileOwning } from '../../../ts/engine/owning.ts'
import { finish } from '../../support/finish.ts'
import { recover } from '../../support/recover.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { ringOf, Writer } from '../log/rings.ts'

const limits = { contained: 0, imageEpoch: 1, allowedEpoch: 1, marks: undefined }

function longLog(): { memory: MemoryTwin; writer: Writer } {
  const memory = new MemoryTwin()
  const writer = new Writer(ringOf(memory, 8192), memory)
  for (let i = 0; i < 8000; i += 1) writer.write(0)
  return { memory, writer }
}

t.test('a recovery that has lost its right leaves the ring to the keeper that fills it now', async (t) => {
  const { memory, writer } = longLog()
  const { ring } = writer
  let isOwner = true
  const recovery = whileOwning({ stillOwner: () => isOwner }, recover(ring, memory, limits))
  recovery.next()
  isOwner = false
  ring.reset(20_000)
  for (let i = 0; i < 5; i += 1) writer.write(1)
  let error: unknown
  try {
    finish(recovery)
  } catch (caught) {
    error = caught
  }
  t.ok(isStoreError(error, 'FENCED'))
  t.same([ring.tail, ring.head, ring.pagesUsed], [20_000, 20_005, 5])
  t.equal(ring.claimedSequence(20_004), 20_004)
  t.not(ring.magic(20_004), 0, 'no entry is forgotten')
})

t.test('with its right it comes to its end, and says what it came to', async (t) => {
  const { memory, writer } = longLog()
  t.same(finish(whileOwning({ stillOwner: () => true }, recover(writer.ring, memory, limits))), {
    applied: 8000,
  })
})
