import t from 'tap'
import { dumpLog } from '../../../ts/engine/log-dump.ts'
import type { Engine } from '../../../ts/engine.ts'
import { CopyHost } from '../log/copies.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { Writer } from '../log/rings.ts'

function engineWith(...pages: number[]): { engine: Engine; writer: Writer } {
  const memory = new MemoryTwin()
  const log = new CopyHost(memory).open()
  const writer = new Writer(log.ring, memory, 6)
  for (const count of pages) writer.write(count, 4, 65_536)
  return { engine: { log, world: { memory } } as unknown as Engine, writer }
}

t.test('entries are told as they are in the ring', async (t) => {
  const { engine } = engineWith(2, 0)
  t.same(dumpLog(engine, 'partner', 100), {
    copy: 'partner',
    incarnation: '41414141-4141-4141-4141-414141414141',
    entries: [
      {
        sequence: 1,
        epoch: 6,
        kind: 'write',
        volume: 4,
        offset: 65_536,
        length: 8192,
        generation: 3,
        firstPage: 0,
        pageCount: 2,
        good: true,
      },
      {
        sequence: 2,
        epoch: 6,
        kind: 'trim',
        volume: 4,
        offset: 65_536,
        length: 0,
        generation: 3,
        firstPage: 2,
        pageCount: 0,
        good: true,
      },
    ],
  })
})

t.test('the newest are told if there are more than asked for', async (t) => {
  const { engine, writer } = engineWith(1, 1, 1, 1, 1)
  const sequences = (limit: number) => dumpLog(engine, 'own', limit).entries.map(({ sequence }) => sequence)
  t.same(sequences(2), [4, 5])
  writer.ring.release(3)
  t.same(sequences(100), [4, 5])
})

t.test('an entry that does not check is told as it is, and called so', async (t) => {
  const { engine, writer } = engineWith(1, 1, 1)
  writer.ring.pageBytes(writer.ring.firstPage(2))[9]! ^= 1
  writer.ring.descriptorBytes(3)[20] = 99
  const { entries, copy } = dumpLog(engine, 'own', 100)
  t.equal(copy, 'own')
  t.same(
    entries.map(({ good }) => good),
    [true, false, false],
  )
})
