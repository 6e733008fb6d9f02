import type { Mutation } from './mutation.ts'

/** A stale plex is gone on from: what was given up for it stays, and is never mixed with what goes on. */
export const branches: readonly Mutation[] = [
  {
    name: 'what was given up is filled as soon as the image that counts has as many generations',
    file: 'ts/engine/other-branch.ts',
    find: 'if (found.epoch === 0 || found.epoch >= branch.epoch) continue',
    replace: 'if (found.generation <= this.#parts.image.generation + 1) continue',
    breaks: 'whoever was promised that it is kept finds it overwritten',
    checker: ['sim/branch.test'],
    isQuick: true,
  },
  {
    name: 'a copy of the log is begun over the one that was given up',
    file: 'ts/engine/catch-up.ts',
    find: 'if (!ownership.mayFillPartner(nowMs) || owner.returning.keepsLostLog) return',
    replace: 'if (!ownership.mayFillPartner(nowMs)) return',
    breaks: 'changes that were acknowledged, and are only there, are gone without a word of the operator',
    checker: ['sim/branch.test'],
  },
  {
    name: 'a plex that could not be read for a moment is given up',
    file: 'ts/engine/branching.ts',
    find: '  yield* otherMustBeLost(parts, image, 1 - plex)\n',
    replace: '  if (plex < 0) yield* otherMustBeLost(parts, image, 1 - plex)\n',
    breaks: 'hours of acknowledged changes are kept aside for a cable that was loose',
    checker: ['sim/branch.test'],
  },
  {
    name: 'the log of one branch is replayed over the image of another',
    file: 'ts/ha/branch.ts',
    find: '(branch.epoch <= epoch || branch.epoch > log.epoch)',
    replace: 'branch.epoch > 0',
    breaks: 'blocks of two histories are mixed',
    checker: ['unit/ha/branch.test'],
    isQuick: true,
  },
  {
    name: 'an older image is called in sync, and nothing tells that another branch was left',
    file: 'ts/ha/course.ts',
    find: 'if (!point || newestBranch(next)?.epoch === this.#claimedEpoch)',
    replace: 'if (!point || !log || newestBranch(next)?.epoch === this.#claimedEpoch)',
    breaks: 'a claim that comes to nothing gives up the plex that has everything',
    checker: ['unit/ha/branch.test'],
  },
]
