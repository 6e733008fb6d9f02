import type { PlexPlace } from '../base/plex-place.ts'

/** When a FLUSH is answered: see `durability` in the reference of the configuration. */
export type Durability = 'nvram' | 'pair' | 'vault'

/** Who somebody is, for people and for headers. `identity` is the text form of 16 bytes. */
export interface Named {
  readonly name: string
  readonly identity: string
}

/**
 * Everything that one engine is told at its start: plain data, since it crosses to a worker thread.
 * Identities are texts as `identityFromText` reads them.
 */
export interface EngineSettings {
  readonly aggregate: Named & {
    /** name of the node that this aggregate belongs to when both are well */
    readonly home: string
    /** of plex 0 and, if it is mirrored, of plex 1 */
    readonly plexes: readonly PlexPlace[]
  }
  readonly node: Named
  readonly partner: Named
  readonly pair: string
  /** new at each start of the process; names the lease holder for the arbiter */
  readonly boot: string
  readonly durability: Durability
  /** the CPU that the thread keeps to while many small changes are under way; undefined: none */
  readonly cpu?: number | undefined
  /** data pages of the log ring, a power of two */
  readonly logPages: number
  readonly nvramDirectory: string
  readonly cacheByteLength: number
  /** how long a lease holds by the arbiter's side, and how much earlier the owner stops by its own clock */
  readonly leaseMs: number
  readonly leaseMarginMs: number
  readonly heartbeatMs: number
  /** silence on the link after which it counts as down */
  readonly linkTimeoutMs: number
  /** how long a node that starts waits for the partner to come first */
  readonly partnerGraceMs: number
  /** how long the partner's disks may take to answer, while another plex is in sync */
  readonly plexTimeoutMs: number
  readonly takeover: 'automatic' | 'manual'
  /** a consistency point starts after this time if anything was logged */
  readonly cpIntervalMs: number
  /** and when the log is filled to this share, 0 to 1 */
  readonly cpFillMark: number
  /** client connections of this engine; further ones are closed */
  readonly connectionsMax: number
  /** a scrub begins so long after the last one; 0: only by command */
  readonly scrubIntervalMs: number
  /** bytes per second that a scrub reads at most */
  readonly scrubByteRate: number
}
