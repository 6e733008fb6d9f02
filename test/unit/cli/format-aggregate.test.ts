import t from 'tap'
import { MIB } from '../../../ts/base/units.ts'
import { formatAggregate } from '../../../ts/cli/format-aggregate.ts'
import { openAnyLabelled } from '../../../ts/disk/labelled-disk.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import { TwoPlexes } from './disk-world.ts'

const format = (disks: TwoPlexes, force = false) =>
  disks.memory.run(formatAggregate(disks.world, disks.wanted(force)))

t.test('both plexes get an empty image, laid out for the smaller disk of each place', async (t) => {
  const disks = new TwoPlexes([16 * MIB, 30 * MIB], [20 * MIB, 24 * MIB])
  t.match(format(disks), [
    { path: '/dev/p0d0', plex: 0, byteLength: 16 * MIB },
    { path: '/dev/p1d0', plex: 1, byteLength: 20 * MIB },
    { path: '/dev/p0d1', plex: 0 },
    { path: '/dev/p1d1', plex: 1 },
  ])
  for (const [plex, ofPlex] of disks.plexes.entries()) {
    for (const [diskIndex, disk] of ofPlex.entries()) {
      const { label } = disks.memory.run(openAnyLabelled(disk, disks.world.memory))
      t.match(label, { plex, diskIndex, diskCount: 2, byteLength: [16 * MIB, 24 * MIB][diskIndex]! })
      t.equal(label.vaultByteLength > 0, diskIndex === 0)
      t.ok(disk.closed)
    }
  }
  const report = disks.memory.run(checkPlexes(disks.plexes.flat(), disks.world.memory))
  t.match(report, { good: true, equal: true, epoch: 0, generation: 1 })
})

t.test('nothing is written before every disk was looked at', async (t) => {
  const disks = new TwoPlexes([16 * MIB], [16 * MIB])
  disks.plexes[1]![0]!.bytes[5000] = 1
  t.throws(() => format(disks), { code: 'DISK_FOREIGN', message: /p1d0 holds data/ })
  t.ok(disks.plexes[0]![0]!.bytes.every((byte) => byte === 0))
  format(disks, true)
  const small = new TwoPlexes([16 * MIB, 16 * MIB], [16 * MIB, 2 * MIB])
  t.throws(() => format(small), { code: 'DISK_TOO_SMALL', message: /p1d1 has/ })
  t.ok(small.plexes[0]![0]!.bytes.every((byte) => byte === 0))
})
