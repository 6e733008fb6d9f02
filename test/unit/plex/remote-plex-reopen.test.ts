import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { FrameKind } from '../../../ts/format/link-frame.ts'
import { answers } from '../../support/mirror-world.ts'
import { PlexLink } from '../../support/plex-link.ts'

const LINK_FAILED = -107

/** The only plex in sync is the partner's; the link was down, and its disk is not there any more. */
function withoutDisk() {
  const link = new PlexLink([MIB])
  const disk = link.open()[0]!
  link.isOnlyPlex = true
  link.down()
  link.up()
  link.missing.add(link.disks[0]!.path)
  const done = answers()
  const read = (): void => {
    disk.read(0, link.blocks(1).gather(), done)
    link.settle()
  }
  const openings = (): number =>
    link.toKeeper.seen.filter(({ kind }) => kind === FrameKind.DISK_OPEN).length - 1
  return { link, done, read, openings }
}

t.test('disks that cannot be opened are not asked for again for each read', async (t) => {
  const { link, done, read, openings } = withoutDisk()
  for (let reads = 0; reads < 50; reads += 1) read()
  t.equal(openings(), 1)
  t.same(done.results, [LINK_FAILED], 'the others wait for the next attempt')
  link.nowMs += 99
  link.settle()
  t.equal(openings(), 1)
  link.nowMs += 1
  link.settle()
  t.equal(openings(), 2)
  t.equal(done.results.length, 50)
})

t.test('a read that waits is answered when the disk can be opened again', async (t) => {
  const { link, done, read, openings } = withoutDisk()
  read()
  read()
  link.missing.clear()
  link.nowMs += 100
  link.settle()
  t.same(done.results, [LINK_FAILED, BLOCK_SIZE])
  t.equal(openings(), 2)
})

t.test('a new session of the link, and whoever asks for an opening, does not wait', async (t) => {
  const { link, read, openings } = withoutDisk()
  read()
  link.down()
  link.up()
  read()
  t.equal(openings(), 2)
  link.missing.clear()
  link.open()
  t.equal(openings(), 3)
})

t.test('nothing is opened as long as nobody waits', async (t) => {
  const { link, read, openings } = withoutDisk()
  read()
  link.nowMs += 1000
  link.settle()
  t.equal(openings(), 1)
})

t.test('nothing is opened while the link is down', async (t) => {
  const link = new PlexLink()
  link.down()
  t.throws(() => link.open(), { code: 'DISK_AWAY', message: /those of pollux, and the link is down/ })
})
