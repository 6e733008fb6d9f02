import t from 'tap'
import { dumpLog } from '../../../ts/engine/log-dump.ts'
import type { Engine } from '../../../ts/engine.ts'
import type { LogPart } from '../../../ts/node/messages.ts'
import { CopyHost } from '../log/copies.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { Writer } from '../log/rings.ts'

function engineWith(...pages: number[]): { engine: Engine; writer: Writer } {
  const { engine, writer } = engineOf(256)
  for (const count of pages) writer.write(count, 4, 65_536)
  return { engine, writer }
}

function engineOf(pageCount: number): { engine: Engine; writer: Writer } {
  const memory = new MemoryTwin()
  const log = new CopyHost(memory, 0x40, pageCount).open()
  return {
    engine: { log, world: { memory } } as unknown as Engine,
    writer: new Writer(log.ring, memory, 6),
  }
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

t.test('a long log is told in parts, so that no turn is long', async (t) => {
  const { engine, writer } = engineOf(8192)
  for (let i = 0; i < 100; i += 1) writer.write(64)
  let part: LogPart | undefined
  const parts: number[][] = []
  do {
    const { entries, next } = dumpLog(engine, 'own', 1000, part)
    parts.push(entries.map(({ sequence }) => sequence))
    if (parts.length === 1) {
      // while it is told, the log goes on: new entries come, and old ones go
      writer.write(1)
      writer.ring.release(50)
    }
    part = next
  } while (part !== undefined)
  t.ok(parts.every((sequences) => sequences.length <= 32))
  const [first, ...others] = parts
  t.same(
    first,
    Array.from({ length: 32 }, (_, i) => i + 1),
  )
  t.same(
    others.flat(),
    Array.from({ length: 50 }, (_, i) => i + 51),
  )
})

t.test('a log that was begun anew between two parts ends there', async (t) => {
  const { engine, writer } = engineOf(8192)
  for (let i = 0; i < 100; i += 1) writer.write(64)
  const { next } = dumpLog(engine, 'own', 1000)
  writer.ring.reset(5000)
  t.match(dumpLog(engine, 'own', 1000, next), { entries: [], next: undefined })
  writer.ring.reset(3)
  t.match(dumpLog(engine, 'own', 1000, next), { entries: [], next: undefined })
})
