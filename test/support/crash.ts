import type { LoggedWrite, MemoryDisk, SeededRandom, WriteLog } from './memory-world.ts'

const SECTOR = 512

/**
 * The disks as a crash after the first `count` events may leave them: all that was flushed, and of
 * what came after the last flush each sector or not, as the seed decides.
 */
export function crashed(
  before: readonly MemoryDisk[],
  originals: readonly MemoryDisk[],
  log: WriteLog,
  count: number,
  random: SeededRandom,
): MemoryDisk[] {
  const disks = before.map((disk) => disk.copy())
  const durable = new Map<MemoryDisk, number>()
  for (const [index, event] of log.events.slice(0, count).entries()) {
    if ('flush' in event) durable.set(event.disk, index)
  }
  const mood = random.below(4)
  for (const [index, event] of log.events.slice(0, count).entries()) {
    if ('flush' in event) continue
    const disk = disks[originals.indexOf(event.disk)]!
    if (index < (durable.get(event.disk) ?? -1)) disk.bytes.set(event.bytes, event.at)
    else writePart(disk, event, random, mood)
  }
  return disks
}

/** All, nothing, or any sectors of a write that was not flushed. */
function writePart(disk: MemoryDisk, { at, bytes }: LoggedWrite, random: SeededRandom, mood: number): void {
  if (mood === 0) return
  if (mood === 1 || random.chance(0.4)) return disk.bytes.set(bytes, at)
  if (random.chance(0.3)) return
  for (let from = 0; from < bytes.length; from += SECTOR) {
    if (random.chance(0.5)) disk.bytes.set(bytes.subarray(from, from + SECTOR), at + from)
  }
}
