import { assert } from '../base/assert.ts'
import type { PlexPlace } from '../base/plex-place.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import { identityFromText } from '../format/identity.ts'
import type { OwnershipSettings } from '../ha/facts.ts'
import type { LogOwnership } from '../log/copy.ts'
import type { LinkIdentity } from '../partner/hello.ts'

function identityOf(text: string): Uint8Array {
  const identity = identityFromText(text)
  assert(identity !== undefined, 'the configuration has checked all identities')
  return identity
}

export function logOwnership({ pair, aggregate, node }: EngineSettings): LogOwnership {
  return {
    pair: identityOf(pair),
    aggregate: identityOf(aggregate.identity),
    node: identityOf(node.identity),
  }
}

export function linkIdentity(settings: EngineSettings, whose: LogOwnership): LinkIdentity {
  const { aggregate, node, partner, boot, logPages } = settings
  return {
    pair: whose.pair,
    aggregate: whose.aggregate,
    aggregateName: aggregate.name,
    node: whose.node,
    nodeName: node.name,
    partner: identityOf(partner.identity),
    partnerName: partner.name,
    boot: identityOf(boot),
    pageCount: logPages,
  }
}

/** Disks are shared, or each node has a plex of its own. */
const plexesThere = (plexes: readonly PlexPlace[]): number[] =>
  [...plexes.keys()].filter((plex) => !plexes.includes('partner') || plexes[plex] === 'partner')

/** `diskEpoch`: the epoch that the disks carry, or why it is not known. */
export function ownershipSettings(
  settings: EngineSettings,
  diskEpoch: () => number | string,
): OwnershipSettings {
  const { aggregate, node, partner, boot, leaseMs, leaseMarginMs, partnerGraceMs, takeover } = settings
  return {
    aggregate: aggregate.name,
    node: node.name,
    partner: partner.name,
    home: aggregate.home,
    plexCount: aggregate.plexes.length === 1 ? 1 : 2,
    plexesHere: [...aggregate.plexes.keys()].filter((plex) => aggregate.plexes[plex] !== 'partner'),
    plexesThere: plexesThere(aggregate.plexes),
    boot,
    leaseMs,
    marginMs: leaseMarginMs,
    partnerGraceMs,
    takeover,
    diskEpoch,
  }
}
