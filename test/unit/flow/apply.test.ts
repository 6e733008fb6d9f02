import t from 'tap'
import { replay } from '../../../ts/flow/apply.ts'
import type { SpacePromises } from '../../../ts/flow/space-promises.ts'
import { DirtyIndex } from '../../../ts/log/dirty-index.ts'
import type { VolumeDirectory } from '../../../ts/volume/directory.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { ringOf, Writer } from '../log/rings.ts'

t.test(
  'others have their turns while a long log is replayed, each entry of it once and in order',
  async (t) => {
    const memory = new MemoryTwin()
    const { ring, ...writer } = writerOf(memory)
    for (let i = 0; i < 9000; i += 1) writer.write(i)
    const promised: number[] = []
    const promises = { forReplay: (_: unknown, sequence: number) => promised.push(sequence) }
    const active = new DirtyIndex(16)
    const procedure = replay({
      ring,
      active,
      directory: {} as VolumeDirectory,
      promises: promises as unknown as SpacePromises,
    })
    let turns = 0
    for (let step = procedure.next(); !step.done; step = procedure.next()) turns += 1
    t.ok(turns >= 2, `${turns} turns`)
    t.same(
      promised,
      Array.from({ length: 9000 }, (_, i) => i + 1),
    )
    t.equal(active.lookup(7, 8900 % 128), ring.firstPage(8901))
  },
)

function writerOf(memory: MemoryTwin) {
  const writer = new Writer(ringOf(memory, 16_384), memory)
  return {
    ring: writer.ring,
    write: (i: number) => writer.write(i % 100 === 0 ? 1 : 0, 7, (i % 128) * 4096),
  }
}
