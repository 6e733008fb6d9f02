import type { Engine } from '../engine.ts'

/**
 * So many changes that the partner has not acknowledged, and so many that come at once to a keeper, are many;
 * and pages of one that is small. Below it is faster to look for each of them, above to copy on two CPUs.
 */
const MANY_WAITING = 5
const MANY_NEW = 4
const SMALL_PAGES = 2

/** Whether many small changes are under way; undefined: a keeper that got none in this turn. */
export function hasManyChanges({ log, owner, keeper }: Engine): boolean | undefined {
  const { ring } = log
  if (owner === undefined && keeper.newCount === 0) return undefined
  const isMany =
    owner === undefined
      ? keeper.newCount >= MANY_NEW
      : ring.head - 1 - owner.aggregate.acknowledged > MANY_WAITING
  return isMany && ring.entryCount > 0 && ring.pageCount(ring.head - 1) <= SMALL_PAGES
}
