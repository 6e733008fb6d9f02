import { sameIdentity } from '../format/identity.ts'
import { LINK_VERSION, LinkHello } from '../format/link-frame.ts'
import { LOG_RING_VERSION } from '../format/log-ring.ts'
import { SUPERBLOCK_VERSION } from '../format/superblock.ts'

export const LogState = { NONE: 0, FILLING: 1, COMPLETE: 2 } as const
export type LogState = (typeof LogState)[keyof typeof LogState]

/** Who is at the two ends of a link, and what must agree. */
export interface LinkIdentity {
  readonly pair: Uint8Array
  readonly aggregate: Uint8Array
  readonly aggregateName: string
  readonly node: Uint8Array
  readonly nodeName: string
  readonly partner: Uint8Array
  readonly partnerName: string
  readonly boot: Uint8Array
  readonly pageCount: number
}

export interface HelloFacts {
  readonly state: 'owner' | 'keeper'
  readonly epoch: number
  readonly logState: LogState
  readonly lastSequence: number
  readonly incarnation: Uint8Array
  readonly boot: Uint8Array
}

export function encodeHello(identity: LinkIdentity, facts: Omit<HelloFacts, 'boot'>): Uint8Array {
  const payload = new Uint8Array(LinkHello.byteLength)
  LinkHello.encode(
    {
      pair: identity.pair,
      aggregate: identity.aggregate,
      node: identity.node,
      boot: identity.boot,
      nodeName: identity.nodeName,
      aggregateName: identity.aggregateName,
      logRingVersion: LOG_RING_VERSION,
      superblockVersion: SUPERBLOCK_VERSION,
      pageCount: identity.pageCount,
      logState: facts.logState,
      role: facts.state === 'owner' ? 1 : 0,
      epoch: facts.epoch,
      lastSequence: facts.lastSequence,
      incarnation: facts.incarnation,
      rest: new Uint8Array(208),
    },
    payload,
  )
  return payload
}

/** Reads the partner's hello, or says by name what does not agree. */
export function judgeHello(payload: Uint8Array, linkVersion: number, own: LinkIdentity): HelloFacts | string {
  if (payload.length !== LinkHello.byteLength) return 'its hello has a wrong length'
  const hello = LinkHello.decode(payload)
  const who = `node '${hello.nodeName}'`
  if (!sameIdentity(hello.pair, own.pair)) return `${who} belongs to another pair`
  if (!sameIdentity(hello.aggregate, own.aggregate))
    return `${who} means another aggregate ('${hello.aggregateName}')`
  if (sameIdentity(hello.node, own.node))
    return `${who} has this node's own identity; give each node one of its own`
  if (!sameIdentity(hello.node, own.partner))
    return `${who} is not the partner of '${own.nodeName}' (that is '${own.partnerName}')`
  if (linkVersion !== LINK_VERSION)
    return `${who} speaks link version ${linkVersion}, this node ${LINK_VERSION}; upgrade the older one`
  if (hello.logRingVersion !== LOG_RING_VERSION) {
    return `${who} has log format ${hello.logRingVersion}, this node ${LOG_RING_VERSION}; upgrade the older one`
  }
  if (hello.superblockVersion !== SUPERBLOCK_VERSION) {
    return `${who} has disk format ${hello.superblockVersion}, this node ${SUPERBLOCK_VERSION}; upgrade the older one`
  }
  if (hello.pageCount !== own.pageCount) {
    return `${who} has a log of ${hello.pageCount} pages, this node of ${own.pageCount}; make log_size equal`
  }
  return {
    state: hello.role === 1 ? 'owner' : 'keeper',
    epoch: hello.epoch,
    logState: Math.min(hello.logState, 2) as LogState,
    lastSequence: hello.lastSequence,
    incarnation: hello.incarnation,
    boot: hello.boot,
  }
}
