import type { Engine } from '../engine.ts'

/**
 * So many requests of clients under way, and so many entries that come at once to a keeper, are many; and
 * pages of an entry that is small. Below it is faster to look for each of them, above to copy on two CPUs.
 */
const MANY_REQUESTS = 5
const MANY_ENTRIES = 4
const SMALL_PAGES = 2

/** Whether many small requests are under way. Asked in every turn. */
export function hasMany({ log, owner, keeper }: Engine): boolean {
  const { ring } = log
  if (ring.entryCount === 0 || ring.pageCount(ring.head - 1) > SMALL_PAGES) return false
  return owner?.aggregate.sessions.hasInFlight(MANY_REQUESTS) ?? keeper.newCount >= MANY_ENTRIES
}
