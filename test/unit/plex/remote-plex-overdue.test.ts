import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { DISK_SLOTS, FrameKind } from '../../../ts/format/link-frame.ts'
import type { Disk } from '../../../ts/ports/disk.ts'
import { answers } from '../../support/mirror-world.ts'
import { PLEX_TIMEOUT_MS, PlexLink } from '../../support/plex-link.ts'

const TIMED_OUT = -110

/** A disk that is opened over the link, and answers nothing from then on. */
function stuckDisk() {
  const link = new PlexLink([MIB])
  const disk = link.open()[0]!
  link.areDisksStuck = true
  return { link, disk, gather: link.blocks(1).gather, done: answers() }
}

t.test('disks that do not answer in time fail, and a late answer is told to nobody', async (t) => {
  const { link, disk, gather, done } = stuckDisk()
  disk.write(0, gather(), done)
  disk.flush(done)
  link.settle()
  link.nowMs = PLEX_TIMEOUT_MS
  link.settle()
  t.same(done.results, [], 'there is time')
  link.nowMs = 2 * PLEX_TIMEOUT_MS
  disk.write(BLOCK_SIZE, gather(), done)
  t.equal(done.results.length, 0, 'nothing ends inside of the call')
  link.settle()
  t.same(done.results, [TIMED_OUT, TIMED_OUT, TIMED_OUT], 'all that is under way, and what waits')
  link.areDisksStuck = false
  link.settle()
  t.equal(done.results.length, 3)
  t.same(link.ends, [], 'the session goes on')
  t.equal(link.overdueCount, 1, 'and its user knows')
  disk.flush(done)
  link.settle()
  t.same(done.results.splice(3), [TIMED_OUT], 'they are not used before they are opened anew')
  const again = link.open()
  again[0]!.read(0, gather(), done)
  link.settle()
  t.equal(done.results[3], BLOCK_SIZE)
})

t.test('while it waits for late answers, no slot is used twice', async (t) => {
  const { link, disk, gather, done } = stuckDisk()
  for (let i = 0; i < DISK_SLOTS; i += 1) disk.read(0, gather(), done)
  link.settle()
  link.nowMs = 2 * PLEX_TIMEOUT_MS
  link.settle()
  t.equal(done.results.length, DISK_SLOTS)
  t.same(link.toKeeper.seen.filter(({ kind }) => kind === FrameKind.DISK_OPEN).length, 1)
  const opening = link.remote.open()
  opening.next()
  link.settle()
  t.equal(opening.next().done, false, 'every slot has a request that was given up')
  link.areDisksStuck = false
  link.settle()
  const opened = opening.next().value as readonly Disk[]
  opened[0]!.read(0, gather(), done)
  link.settle()
  t.same(done.results.slice(DISK_SLOTS), [BLOCK_SIZE])
  t.same(link.ends, [])
})

t.test('the only plex may take its time', async (t) => {
  const { link, disk, gather, done } = stuckDisk()
  link.isOnlyPlex = true
  disk.read(0, gather(), done)
  disk.write(0, gather(), done)
  link.settle()
  link.nowMs = 2 * PLEX_TIMEOUT_MS
  link.settle()
  t.same(done.results, [])
  link.areDisksStuck = false
  link.settle()
  t.same(done.results, [BLOCK_SIZE, BLOCK_SIZE])
})
