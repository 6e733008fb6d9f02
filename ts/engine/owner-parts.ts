import type { Engine } from '../engine.ts'
import { newestBranch, type OwnerRecord } from '../format/owner-record.ts'
import type { BranchPoint } from '../ha/facts.ts'
import type { LogOwnership } from '../log/copy.ts'
import type { OwnerParts } from './owner.ts'

/** What the role of owner needs of its engine, in the ownership that the record gives. */
export function ownerParts(
  engine: Engine,
  whose: LogOwnership,
  { epoch, plex0, plex1 }: OwnerRecord,
  { acceptsLoss, branch }: { acceptsLoss: boolean; branch: BranchPoint | undefined },
  published: (generation: number, sequence: number) => void,
): OwnerParts {
  const { world, settings, log, ownership, diskLink } = engine
  const { host, clock } = world
  const words = [plex0, plex1].slice(0, settings.aggregate.plexes.length)
  return {
    world,
    settings,
    log,
    whose,
    epoch,
    acceptsLoss,
    node: whose.node,
    stillOwner: () => ownership.fenceAtMs > clock.now(),
    plexes: {
      recorded: branch ? words.map((_, plex) => (plex === branch.plex ? 'in-sync' : 'stale')) : words,
      branch,
      branches: (source) => ownership.branches(clock.now(), source),
      newestBranch: () => newestBranch(ownership.record),
      isStale: (plex) => ownership.isPlexStale(plex),
      are: (words) => ownership.plexesAre(clock.now(), words),
    },
    openRemote: (mayWait) => diskLink.open(mayWait),
    remoteDisks: () => diskLink.remoteDisks,
    isRemoteAway: () => diskLink.isAway,
    surroundings: {
      requestConsistencyPoint: (why) => engine.owner?.consistency.request(why),
      requestSpace: (why) => engine.owner?.consistency.requestSpace(why),
      clientGone: ({ peer }, reason) => host.event('info', 'client gone', `client ${peer}: ${reason}`),
    },
    consistencyEvents: {
      published,
      failed: ({ message }, retryMs) => {
        host.event('error', 'consistency point failed', `${message}; next try in ${retryMs} ms`)
      },
    },
  }
}
