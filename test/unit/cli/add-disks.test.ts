import t from 'tap'
import { MIB } from '../../../ts/base/units.ts'
import { addDisks } from '../../../ts/cli/add-disks.ts'
import { formatAggregate } from '../../../ts/cli/format-aggregate.ts'
import { openAnyLabelled } from '../../../ts/disk/labelled-disk.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import type { MemoryDisk } from '../../support/memory-world.ts'
import { TwoPlexes } from './disk-world.ts'

/** Only the first disks of each plex are formatted: those behind them are blank. */
function formatted(count: number, ...sizes: [number[], number[]]): TwoPlexes {
  const disks = new TwoPlexes(...sizes)
  const wanted = disks.wanted()
  const plexes = wanted.plexes.map((paths) => paths.slice(0, count))
  disks.memory.run(formatAggregate(disks.world, { ...wanted, plexes }))
  return disks
}

function add(
  disks: TwoPlexes,
  count: number,
  more: { sizes?: number[]; force?: boolean; of?: number[] } = {},
) {
  const { sizes = [], force = false, of = [0, 1] } = more
  const { plexes, ...others } = disks.wanted(force)
  const growing = of.map((plex) => ({ plex, paths: plexes[plex]! }))
  return disks.memory.run(addDisks(disks.world, { ...others, plexes: growing, count, sizes }))
}

const isBlank = ({ bytes }: MemoryDisk): boolean => bytes.every((byte) => byte === 0)

t.test('new disks are the last ones of their plexes, laid out alike, and empty', async (t) => {
  const disks = formatted(1, [16 * MIB, 20 * MIB, 11 * MIB], [16 * MIB, 12 * MIB, 30 * MIB])
  const before = disks.plexes.map(([first]) => first!.bytes.slice())
  t.match(add(disks, 2), [
    { path: '/dev/p0d1', plex: 0, layoutByteLength: 12 * MIB },
    { path: '/dev/p1d1', plex: 1, layoutByteLength: 12 * MIB },
    { path: '/dev/p0d2', plex: 0, layoutByteLength: 11 * MIB },
    { path: '/dev/p1d2', plex: 1, layoutByteLength: 11 * MIB },
  ])
  for (const [plex, ofPlex] of disks.plexes.entries()) {
    t.ok(Buffer.from(ofPlex[0]!.bytes.buffer).equals(before[plex]!), 'the first ones are only read')
    for (const [diskIndex, disk] of ofPlex.entries()) {
      const { label } = disks.memory.run(openAnyLabelled(disk, disks.world.memory))
      t.match(label, { plex, diskIndex, diskCount: diskIndex === 0 ? 1 : 3 })
      t.equal(label.vaultByteLength > 0, diskIndex === 0)
      t.ok(disk.closed)
    }
  }
  const report = disks.memory.run(checkPlexes(disks.plexes.flat(), disks.world.memory))
  t.match(report, { good: true, equal: true, notes: { length: 5 } })
})

t.test('the disks of one host alone get the size that they are told', async (t) => {
  const disks = formatted(1, [16 * MIB, 20 * MIB], [16 * MIB, 24 * MIB])
  t.match(add(disks, 1, { of: [0] }), [{ path: '/dev/p0d1', layoutByteLength: 20 * MIB }])
  t.match(add(disks, 1, { of: [1], sizes: [20 * MIB] }), [{ path: '/dev/p1d1', layoutByteLength: 20 * MIB }])
  const large = formatted(1, [16 * MIB, 20 * MIB], [16 * MIB, 24 * MIB])
  t.throws(() => add(large, 1, { sizes: [21 * MIB] }), { code: 'DISK_TOO_SMALL', message: /p0d1 has/ })
  t.ok(isBlank(large.plexes[1]![1]!), 'nothing was written')
})

t.test('a disk that is not blank is given up only with force', async (t) => {
  const disks = formatted(1, [16 * MIB, 12 * MIB], [16 * MIB, 12 * MIB])
  disks.plexes[1]![1]!.bytes[5000] = 1
  t.throws(() => add(disks, 1), { code: 'DISK_FOREIGN', message: /p1d1 holds data/ })
  t.ok(isBlank(disks.plexes[0]![1]!), 'nothing was written')
  t.equal(add(disks, 1, { force: true }).length, 2)
})

t.test('a list with a gap is refused', async (t) => {
  const disks = formatted(1, [16 * MIB, 12 * MIB, 12 * MIB], [16 * MIB, 12 * MIB, 12 * MIB])
  t.throws(() => add(disks, 1), { code: 'DISK_UNLABELLED', message: /p0d1 is blank; label it/ })
  t.ok(isBlank(disks.plexes[0]![2]!))
})

t.test('a place that the image uses already is refused, with force too', async (t) => {
  const disks = formatted(2, [16 * MIB, 12 * MIB], [16 * MIB, 12 * MIB])
  t.throws(() => add(disks, 1, { force: true }), {
    code: 'DISK_FOREIGN',
    message: /p0d1 is no new disk: the image of plex 0 lies on that place already; .*--plex/,
  })
})

t.test('a new disk that was opened, and has no data yet, may still be exchanged', async (t) => {
  const disks = formatted(1, [16 * MIB, 12 * MIB], [16 * MIB, 12 * MIB])
  add(disks, 1)
  t.throws(() => add(disks, 1), { code: 'DISK_FOREIGN', message: /labelled already, as disk 2 of 2/ })
  t.equal(add(disks, 1, { force: true }).length, 2)
})
