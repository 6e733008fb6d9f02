import t from 'tap'
import { MIB } from '../../../ts/base/units.ts'
import { formatAggregate } from '../../../ts/cli/format-aggregate.ts'
import { labelPlex, labelPlexAlone } from '../../../ts/cli/label-plex.ts'
import { labelDisk } from '../../../ts/disk/label.ts'
import { openAnyLabelled } from '../../../ts/disk/labelled-disk.ts'
import { readSuperblocks, writeSuperblock } from '../../../ts/disk/superblock.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import { differentZones } from '../../../ts/volume/open-plexes.ts'
import { facts } from '../../support/image-world.ts'
import { TwoPlexes } from './disk-world.ts'

const label = (disks: TwoPlexes, plex: number, force = false) =>
  disks.memory.run(labelPlex(disks.world, { ...disks.wanted(force), plex }))

/** Only the first plex has an image: the second one is blank. */
function halfFormatted(...sizes: [number[], number[]]): TwoPlexes {
  const disks = new TwoPlexes(...sizes)
  const { plexes, ...others } = disks.wanted()
  disks.memory.run(formatAggregate(disks.world, { ...others, plexes: [plexes[0]!] }))
  return disks
}

t.test('new disks of one plex are laid out as those of the other, and are empty', async (t) => {
  const disks = halfFormatted([16 * MIB, 20 * MIB], [16 * MIB, 30 * MIB])
  t.match(label(disks, 1), [
    { path: '/dev/p1d0', plex: 1 },
    { path: '/dev/p1d1', plex: 1 },
  ])
  const report = disks.memory.run(checkPlexes(disks.plexes.flat(), disks.world.memory))
  t.match(report, { good: true, plexes: [{ state: 'checked' }, { state: 'empty' }] })
  t.ok(disks.plexes.flat().every(({ closed }) => closed))
})

t.test('a disk of the aggregate is given up only with force, and keeps no superblock', async (t) => {
  const disks = new TwoPlexes([16 * MIB], [16 * MIB])
  disks.memory.run(formatAggregate(disks.world, disks.wanted()))
  const [first] = disks.plexes[0]!
  const before = first!.bytes.slice()
  t.throws(() => label(disks, 1), {
    code: 'DISK_FOREIGN',
    message: /p1d0 is labelled already, as disk 1 of 1 in plex 1 of aggregate castor; .*--force/,
  })
  label(disks, 1, true)
  t.ok(Buffer.from(first!.bytes).equals(before), 'the other plex is as it was')
  const report = disks.memory.run(checkPlexes(disks.plexes.flat(), disks.world.memory))
  t.match(report, { good: true, plexes: [{ state: 'checked' }, { state: 'empty' }] })
})

t.test('a disk that is smaller than what its mirror uses is refused with both sizes', async (t) => {
  const disks = halfFormatted([16 * MIB, 16 * MIB], [16 * MIB, 15 * MIB])
  t.throws(() => label(disks, 1), {
    code: 'DISK_TOO_SMALL',
    message: new RegExp(`/dev/p1d1 has ${15 * MIB} bytes, and its mirror /dev/p0d1 uses ${16 * MIB}`),
  })
  t.ok(
    disks.plexes[1]![0]!.bytes.every((byte) => byte === 0),
    'nothing was written',
  )
})

t.test('without a whole image in the other plex nothing is labelled', async (t) => {
  const sizes: [number[], number[]] = [[16 * MIB], [16 * MIB]]
  const blank = new TwoPlexes(...sizes)
  t.throws(() => label(blank, 1, true), { code: 'DISK_UNLABELLED', message: /p0d0 is blank/ })
  const unreadable = halfFormatted(...sizes)
  for (const block of [0, 4095]) unreadable.plexes[0]![0]!.badBlocks.add(block)
  t.throws(() => label(unreadable, 1, true), { code: 'DISK_UNUSABLE' })
  const foreign = new TwoPlexes(...sizes)
  const theirs = { ...facts(0, 1), aggregate: new Uint8Array(16).fill(9) }
  foreign.memory.run(labelDisk(foreign.plexes[0]![0]!, theirs, { force: false }, foreign.world.memory))
  t.throws(() => label(foreign, 1, true), { code: 'DISK_FOREIGN', message: /belongs to another aggregate/ })
  const empty = halfFormatted(...sizes)
  label(empty, 1)
  t.throws(() => label(empty, 0, true), {
    code: 'IMAGE_UNREADABLE',
    message: /p1d0: no valid superblock, so plex 0 could not be filled from plex 1/,
  })
})

t.test('the plex that is being filled is no source for the other one', async (t) => {
  const disks = new TwoPlexes([16 * MIB], [16 * MIB])
  disks.memory.run(formatAggregate(disks.world, disks.wanted()))
  const { memory } = disks.world
  const mirror = disks.memory.run(openAnyLabelled(disks.plexes[1]![0]!, memory))
  const { latest } = disks.memory.run(readSuperblocks([mirror], 0, memory))
  disks.memory.run(writeSuperblock([mirror], { ...latest!, plex1: 2 }, memory))
  t.throws(() => label(disks, 0, true), { code: 'IMAGE_UNREADABLE', message: /is not whole itself/ })
})

t.test('a plex whose mirror is out of reach is laid out as far as it is told', async (t) => {
  const disks = new TwoPlexes([16 * MIB, 20 * MIB], [24 * MIB, 24 * MIB])
  const { plexes, ...others } = disks.wanted()
  const { world, memory } = disks
  memory.run(formatAggregate(world, { ...others, plexes: [plexes[0]!] }))
  const alone = (sizes: number[]) =>
    memory.run(labelPlexAlone(world, { ...others, plex: 1, paths: plexes[1]!, sizes }))
  t.throws(() => alone([16 * MIB, 25 * MIB]), {
    code: 'DISK_TOO_SMALL',
    message: /\/dev\/p1d1 has \d+ bytes, and \d+ are to be laid out; .*--size/,
  })
  t.ok(disks.plexes[1]!.every(({ bytes }) => bytes.every((byte) => byte === 0)))
  t.match(alone([16 * MIB, 20 * MIB]), [
    { path: '/dev/p1d0', plex: 1, byteLength: 24 * MIB, layoutByteLength: 16 * MIB },
    { path: '/dev/p1d1', plex: 1, layoutByteLength: 20 * MIB },
  ])
  const labels = disks.plexes.map((ofPlex) =>
    ofPlex.map((disk) => memory.run(openAnyLabelled(disk, world.memory))),
  )
  t.equal(differentZones(labels[1]!, labels[0]!), undefined)
  const report = memory.run(checkPlexes(disks.plexes.flat(), world.memory))
  t.match(report, { good: true, plexes: [{ state: 'checked' }, { state: 'empty' }] })
  t.throws(() => alone([16 * MIB]), { code: 'DISK_FOREIGN', message: /is labelled already/ })
})
