import type { Procedure } from '../base/procedure.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import type { Plex } from '../plex/plex.ts'
import type { MemoryPort } from '../ports/memory.ts'
import { hasBit } from './bits.ts'
import type { CheckProblems } from './check-problems.ts'
import type { FreeBits } from './free-bits.ts'
import { FreeMap } from './free-map.ts'
import { Space } from './space.ts'

/** Compares the free map on disk with the blocks that were reached, `reached.current`. */
export function* compareMap(
  plex: Plex,
  superblock: SuperblockValues,
  reached: FreeBits,
  port: MemoryPort,
  problems: CheckProblems,
): Procedure {
  const map = new FreeMap(plex, port)
  const stored = new Space(plex.segments, plex.blockCount, port)
  if (yield* map.load(superblock, stored.bits)) {
    for (const [word, bits] of stored.bits.current.entries()) {
      if (bits !== reached.current[word]) differences(word * 32, stored.bits, reached, problems)
    }
  } else {
    problems.add('map', 'a part of the free map does not check')
  }
  stored.close()
  map.close()
}

function differences(first: number, stored: FreeBits, reached: FreeBits, problems: CheckProblems): void {
  for (let block = first; block < first + 32; block += 1) {
    const [isMarked, isReached] = [hasBit(stored.current, block), hasBit(reached.current, block)]
    if (isMarked && !isReached)
      problems.add('leaked', `block ${block} is marked as used and nothing reaches it`)
    if (!isMarked && isReached) problems.add('unmarked', `block ${block} is reached and marked as free`)
  }
}
