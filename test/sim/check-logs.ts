import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Owner } from '../../ts/engine/owner.ts'
import { IDENTITY_BYTES, identityText } from '../../ts/format/identity.ts'
import { EntryKind, LogEntry, type LogLayout, LogRingHeader, logLayout } from '../../ts/format/log-ring.ts'
import type { LogRing } from '../../ts/log/ring.ts'
import type { Memory } from '../../ts/ports/memory.ts'
import type { SimEngine } from './engine-host.ts'
import type { SimNode } from './node.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** What is known of the log of one aggregate. */
interface Seen {
  owner: Owner | undefined
  /** entries up to here were looked at under this owner */
  checked: number
  isMirrored: boolean
  /** the descriptors of acknowledged entries: what is replayed has to be these */
  readonly descriptors: Map<number, Uint8Array>
  acknowledged: number
  /** memory was lost: what was acknowledged may be gone */
  mayShrink: boolean
}

/**
 * The two copies of the log are the same, byte for byte, as far as the owner has acknowledged with its
 * partner; and whoever opens the log finds each acknowledged entry that the disks do not contain, once.
 */
export class LogCheck {
  pagesLogged = 0
  readonly #world: SimWorld
  readonly #layout: LogLayout
  readonly #seen: Seen[]

  constructor(world: SimWorld) {
    this.#world = world
    this.#layout = logLayout(world.options.logPages)
    this.#seen = world.aggregates.map(() => ({
      owner: undefined,
      checked: 0,
      isMirrored: false,
      descriptors: new Map(),
      acknowledged: 0,
      mayShrink: false,
    }))
  }

  memoryLost(): void {
    for (const seen of this.#seen) seen.mayShrink = true
  }

  afterTurn(host: SimEngine): void {
    const { owner, isServing } = host.engine
    if (owner === undefined || !isServing || this.#world.isDoomed) return
    const seen = this.#seen[host.place]!
    // one that has handed over, and does not know it yet, may be asked after its successor was
    if (seen.owner !== undefined && owner.aggregate.epoch < seen.owner.aggregate.epoch) return
    if (seen.owner !== owner) this.#opened(seen, owner, host)
    const { ring, acknowledged } = owner.aggregate
    // a copy that is filled is the same from its first entry on as soon as the record calls it in sync
    const isMirrored = host.engine.ownership.state === 'serving-mirrored'
    if (isMirrored && !seen.isMirrored) this.#compare(host, owner, ring.tail, acknowledged)
    seen.isMirrored = isMirrored
    if (acknowledged <= seen.checked) return
    const first = Math.max(seen.checked + 1, ring.tail)
    for (let sequence = first; sequence <= acknowledged; sequence += 1) {
      this.pagesLogged += ring.pageCount(sequence)
      // the mark of an epoch in which nothing follows changes nothing: the next owner takes its place
      if (ring.kind(sequence) === EntryKind.NOTHING) continue
      seen.descriptors.set(sequence, ring.descriptorBytes(sequence).slice())
      seen.acknowledged = Math.max(seen.acknowledged, sequence)
    }
    if (isMirrored) this.#compare(host, owner, first, acknowledged)
    seen.checked = acknowledged
    this.#forget(seen, owner)
  }

  #opened(seen: Seen, owner: Owner, { node, place }: SimEngine): void {
    const { recovery, aggregate } = owner
    const { name } = this.#world.aggregates[place]!
    seen.owner = owner
    seen.isMirrored = false
    const from = recovery.contained + 1
    if (recovery.entries > 0 && recovery.first !== from)
      throw new Error(`${name}: replay began at ${recovery.first}, the disks contain ${recovery.contained}`)
    const through = Math.max(recovery.last, recovery.contained)
    if (!seen.mayShrink && through < seen.acknowledged) {
      throw new Error(
        `${name}: ${node.name} opened with the log through ${through}, acknowledged was ${seen.acknowledged}`,
      )
    }
    for (const [sequence, descriptor] of seen.descriptors) {
      if (sequence < from || sequence >= aggregate.ring.head || seen.mayShrink) continue
      if (Buffer.compare(aggregate.ring.descriptorBytes(sequence), descriptor) !== 0)
        throw new Error(`${name}: ${node.name} replayed another entry ${sequence} than was acknowledged`)
    }
    if (seen.mayShrink) seen.descriptors.clear()
    seen.mayShrink = false
    seen.checked = Math.max(through, owner.aggregate.image.lastSequence)
    seen.acknowledged = seen.checked
  }

  /** What a superblock contains is never replayed again. */
  #forget(seen: Seen, owner: Owner): void {
    const { lastSequence } = owner.aggregate.image
    for (const sequence of seen.descriptors.keys()) {
      // the generation before may be opened again, if the newest superblock is torn
      if (sequence > lastSequence - 2 * this.#layout.descriptorCount) break
      seen.descriptors.delete(sequence)
    }
  }

  #compare(host: SimEngine, owner: Owner, from: number, through: number): void {
    const aggregate = this.#world.aggregates[host.place]!
    const other = this.#world.nodes.find((node) => node !== host.node)!
    const copy = other.nvram.get(aggregate.name)
    // its acknowledgement may still be on the way when a host has restarted and made another ring
    if (copy === undefined || other.isNvramChanged || !this.#isListed(aggregate, other, copy)) return
    const { ring } = owner.aggregate
    for (let sequence = Math.max(from, ring.tail); sequence <= through; sequence += 1) {
      if (this.#isSame(ring, copy, sequence)) continue
      throw new Error(
        `${aggregate.name}: entry ${sequence}, acknowledged through ${through}, is not the same on ${other.name}`,
      )
    }
  }

  #isListed(aggregate: AggregateWorld, { name }: SimNode, copy: Memory): boolean {
    const { incarnation } = LogRingHeader.at
    const theirs = copy.bytes.subarray(incarnation, incarnation + IDENTITY_BYTES)
    return this.#world.recordOf(aggregate)?.incarnations[name] === identityText(theirs)
  }

  #isSame(ring: LogRing, copy: Memory, sequence: number): boolean {
    const { descriptorsAt, descriptorCount, pagesAt } = this.#layout
    const at = descriptorsAt + (sequence % descriptorCount) * LogEntry.byteLength
    const theirs = copy.bytes.subarray(at, at + LogEntry.byteLength)
    if (Buffer.compare(ring.descriptorBytes(sequence), theirs) !== 0) return false
    const firstPage = ring.firstPage(sequence)
    for (let page = firstPage; page < firstPage + ring.pageCount(sequence); page += 1) {
      const from = pagesAt + page * BLOCK_SIZE
      if (Buffer.compare(ring.pageBytes(page), copy.bytes.subarray(from, from + BLOCK_SIZE)) !== 0)
        return false
    }
    return true
  }
}
