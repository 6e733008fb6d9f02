/**
 * Faults that production code might have had. Each is put into a copy of the program, and the checker that is
 * named has to find it: one that finds nothing is a hole in the checkers. The text to replace has to occur
 * exactly once, so that this list cannot rot.
 */
export interface Mutation {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** what the fault would do to somebody's data */
  readonly breaks: string
  /**
   * scope: crash at every write (test/sim/scope); sim: seeds (test/sim/run.ts); model: ownership explored
   * (test/model); or files of unit tests, where a second line of defence keeps the fault from doing harm
   */
  readonly checker: 'scope' | 'sim' | 'model' | readonly string[]
  /** found so fast that every run of the tests looks for it */
  readonly isQuick?: boolean
}

/** A write, from the client to both memories and to the vault. */
const promises: readonly Mutation[] = [
  {
    name: 'acknowledged before it is mirrored',
    file: 'ts/engine/owner.ts',
    find: 'safety.mirrored ? Math.min(logged, this.mirror.acknowledged)',
    replace: 'safety.mirrored ? logged',
    breaks: 'a takeover loses acknowledged writes',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'FUA does not wait for the vault',
    file: 'ts/flow/write.ts',
    find: 'return isFua(client)\n',
    replace: 'return isFua(client) && client.volume === 0\n',
    breaks: 'a loss of power takes what was promised to survive it',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'FLUSH is content with two memories',
    file: 'ts/engine/owner.ts',
    find: "return this.#parts.settings.durability === 'pair' && safety.mirrored && safety.inSync",
    replace: 'return safety.mirrored && safety.inSync',
    breaks: 'a loss of power takes what was flushed',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'the vault counts before its flush',
    file: 'ts/log/vault.ts',
    find: "} else if (this.#phase === 'writing') {",
    replace: "} else if (this.#phase === 'writing' && this.#outstanding > 0) {",
    breaks: 'a disk with a write cache loses what was flushed',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'the epoch is not stamped into the vault',
    file: 'ts/engine/owner.ts',
    find: '    yield* this.vault.stamp(sequence)\n',
    replace: '    if (sequence < 0) yield* this.vault.stamp(sequence)\n',
    breaks: 'the vault brings back changes of a branch that was given up',
    checker: 'scope',
  },
  {
    name: 'a partial block is merged with zeroes',
    file: 'ts/flow/write.ts',
    find: 'else batch.copy(base, page, BLOCK_SIZE)',
    replace: 'else batch.zero(page, BLOCK_SIZE)',
    breaks: 'a write of 512 bytes destroys the rest of its block',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'a partial block is merged with what the disk has',
    file: 'ts/flow/aggregate.ts',
    find: 'if (inActive !== NOT_DIRTY) return inActive',
    replace: 'if (inActive !== NOT_DIRTY && this.locatedSequence <= this.acknowledged) return inActive',
    breaks: 'a write next to one that is under way brings the old bytes back',
    checker: 'sim',
  },
  {
    name: 'the consistency point under way is not looked into',
    file: 'ts/flow/aggregate.ts',
    find: 'if (this.frozen !== undefined) {',
    replace: 'if (this.frozen !== undefined && this.frozen.isEmpty) {',
    breaks: 'while a consistency point runs, reads return what was there before',
    checker: 'sim',
  },
  {
    name: 'reads tell what is not acknowledged',
    file: 'ts/flow/read.ts',
    find: 'if (found > this.#aggregate.acknowledged) return this.#park(byteLength)',
    replace: 'if (found > this.#aggregate.log.ring.head) return this.#park(byteLength)',
    breaks: 'a client has seen what a takeover then takes back',
    checker: 'sim',
  },
  {
    name: 'a block status tells what is not acknowledged',
    file: 'ts/flow/block-status.ts',
    find: 'if (this.#search.sawLog && this.parkedUntil > acknowledged) return',
    replace: 'if (this.#search.sawLog && this.parkedUntil < acknowledged) return',
    breaks: 'a copy leaves out data that a takeover brings back',
    checker: ['sim/flow/block-status.test'],
  },
  {
    name: 'trim takes one block too many',
    file: 'ts/flow/apply.ts',
    find: 'const end = Math.floor((ring.offset(sequence)',
    replace: 'const end = 1 + Math.floor((ring.offset(sequence)',
    breaks: 'a block behind a trimmed stretch is gone',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'an old block is newer than the zeroes over it',
    file: 'ts/log/dirty-index.ts',
    find: 'if (ranges?.hides(this.#table[at + BLOCK]! >>> 0, sequence)) return false',
    replace: 'if (ranges === undefined && sequence === 0) return false',
    breaks: 'a trimmed block comes back',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'what a shrunken volume had is kept',
    file: 'ts/flow/apply.ts',
    find: 'if (newEnd < oldEnd) active.zero(volume, newEnd, oldEnd, sequence)',
    replace: 'if (newEnd < 0) active.zero(volume, newEnd, oldEnd, sequence)',
    breaks: 'a volume that shrinks and grows shows old data',
    checker: 'scope',
  },
  {
    name: 'space is not reserved',
    file: 'ts/flow/write.ts',
    find: 'if (!aggregate.promises.forChange(volume, Math.floor(offset / BLOCK_SIZE), pages)) {',
    replace: 'if (offset < 0) {',
    breaks: 'a consistency point finds no space for what was acknowledged',
    checker: 'sim',
  },
]

/** Recovery: exactly the acknowledged entries after the superblock's. */
const recovery: readonly Mutation[] = [
  {
    name: 'replay begins one entry too early',
    file: 'ts/log/replay.ts',
    find: 'const first = limits.contained + 1',
    replace: 'const first = limits.contained',
    breaks: 'a change is made twice',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'replay begins one entry too late',
    file: 'ts/log/replay.ts',
    find: 'const first = limits.contained + 1',
    replace: 'const first = limits.contained + 2',
    breaks: 'an acknowledged change is skipped',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'replay leaves zeroes out',
    file: 'ts/flow/apply.ts',
    find: '    apply(to, sequence)\n',
    replace: '    if (to.ring.pageCount(sequence) > 0) apply(to, sequence)\n',
    breaks: 'trimmed and zeroed blocks come back after a takeover',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'entries of a dead branch are replayed',
    file: 'ts/log/replay.ts',
    find: 'entryEpoch >= epoch && entryEpoch <= limits.allowedEpoch',
    replace: 'entryEpoch <= limits.allowedEpoch',
    breaks: 'changes come back that another owner never saw',
    checker: ['unit/log/replay.test'],
  },
  {
    name: 'the data of an entry is not verified',
    file: 'ts/log/replay.ts',
    find: 'dataGood = memory.run(batch) === 0',
    replace: 'dataGood = memory.run(batch) >= 0',
    breaks: 'rotten memory is served as acknowledged data',
    checker: ['unit/log/replay.test'],
  },
  {
    name: 'the marks of the keeper stay behind',
    file: 'ts/partner/keeper.ts',
    find: '    marks.acknowledge(ring.head - 1)\n',
    replace: '',
    breaks: 'a rotten entry of the keeper passes for the torn end of its log',
    checker: ['unit/partner/keeper.test'],
  },
  {
    name: 'the keeper takes entries out of order',
    file: 'ts/partner/keeper.ts',
    find: 'if (sequence !== this.#expected) return',
    replace: 'if (sequence < this.#expected) return',
    breaks: 'the copy has a hole that nobody knows of',
    checker: ['unit/partner/keeper.test'],
  },
  {
    name: 'the keeper takes entries of another epoch',
    file: 'ts/partner/keeper.ts',
    find: 'if (frame.epoch !== this.epoch) return',
    replace: 'if (frame.epoch > this.epoch) return',
    breaks: 'an owner that was fenced writes into the log of its successor',
    checker: ['unit/partner/keeper.test'],
  },
  {
    name: 'acknowledgements for another ring count',
    file: 'ts/partner/mirror.ts',
    find: 'if (frame.epoch !== this.#epoch || !sameIdentity(frame.incarnation, this.#partnerIncarnation))',
    replace: 'if (frame.epoch !== this.#epoch && !sameIdentity(frame.incarnation, this.#partnerIncarnation))',
    breaks: 'what a ring had that lost its memory counts as mirrored',
    checker: ['unit/partner/mirror.test'],
  },
]

/** A consistency point: all of it or nothing. */
const consistencyPoints: readonly Mutation[] = [
  {
    name: 'the superblock is written before what it reaches is flushed',
    file: 'ts/consistency-point/consistency-point.ts',
    find: '    yield* this.#succeeded(plex.flushed())\n    times.push(world.clock.now())\n    const superblock',
    replace: '    times.push(world.clock.now())\n    const superblock',
    breaks: 'a loss of power leaves a superblock over blocks that are not there',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'a consistency point is done before its superblock is flushed',
    file: 'ts/consistency-point/consistency-point.ts',
    find: 'world.memory))\n        return yield* this.#succeeded(plex.flushed())\n',
    replace: 'world.memory))\n        return\n',
    breaks: 'what counts as written is lost with the power',
    checker: 'scope',
  },
  {
    name: 'the superblock says one entry more than it has',
    file: 'ts/consistency-point/consistency-point.ts',
    find: 'lastSequence: this.#changes.lastSequence,\n    })\n',
    replace: 'lastSequence: this.#changes.lastSequence + 1,\n    })\n',
    breaks: 'the next acknowledged change is skipped in replay',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'the tail is released before the superblock is durable',
    file: 'ts/flow/consistency.ts',
    find: '    const directory = aggregate.image.directory.freeze()\n',
    replace:
      '    const directory = aggregate.image.directory.freeze()\n    this.#events.published(aggregate.image.generation, cut)\n',
    breaks: 'new entries overwrite some that only the log has',
    checker: 'sim',
  },
  {
    name: 'the oldest superblock wins',
    file: 'ts/disk/superblock.ts',
    find: 'b.epoch - a.epoch || b.generation - a.generation',
    replace: 'b.epoch - a.epoch || a.generation - b.generation',
    breaks: 'a generation is opened whose blocks may have been used again',
    checker: 'scope',
  },
  {
    name: 'the superblock overwrites the newest one',
    file: 'ts/format/superblock.ts',
    find: 'return ((epoch & 7) << 1) | (generation & 1)',
    replace: 'return (epoch & 7) << 1',
    breaks: 'a superblock that cannot be read leaves none of this epoch at all',
    checker: ['unit/format/superblock.test', 'unit/disk/superblock.test'],
  },
  {
    name: 'the side of the map is not changed',
    file: 'ts/volume/free-map.ts',
    find: 'const side = 1 - (this.#next.u32[word + 1]! & 1)',
    replace: 'const side = this.#next.u32[word + 1]! & 1',
    breaks: 'a crash in the middle leaves the newest generation without its map',
    checker: 'scope',
  },
  {
    name: 'blocks that were just freed are used at once',
    file: 'ts/volume/free-bits.ts',
    find: 'return this.next[word]! | this.current[word]! | this.before[word]!',
    replace: 'return this.next[word]! | this.before[word]!',
    breaks: 'a consistency point overwrites blocks of the generation before it',
    checker: 'sim',
  },
  {
    name: 'a freed block is not freed',
    file: 'ts/consistency-point/tree-editor.ts',
    find: 'if (this.#old[level] !== NOWHERE) this.#space.free(this.#old[level]!)',
    replace: 'if (this.#old[level] === 0) this.#space.free(this.#old[level]!)',
    breaks: 'space is lost with every consistency point',
    checker: 'scope',
    isQuick: true,
  },
  {
    name: 'checksums of blocks that are read are not compared',
    file: 'ts/volume/cache.ts',
    find: 'BLOCK_SIZE) === this.#checksum[frame]) {',
    replace: 'BLOCK_SIZE) >= 0) {',
    breaks: 'a rotten or misplaced block is served as data',
    checker: ['unit/volume/cache.test'],
  },
]

/** Who may write. */
const ownership: readonly Mutation[] = [
  {
    name: 'the owner acknowledges alone before the record says so',
    file: 'ts/ha/ownership.ts',
    find: "return this.#course.state === 'joining' || this.#course.register.mayBeInSync",
    replace: "return this.#course.state === 'joining' || this.#course.state === 'serving-mirrored'",
    breaks: 'a takeover loses what was acknowledged while the link was down',
    checker: 'model',
    isQuick: true,
  },
  {
    name: 'the owner serves until the end of its lease, without a margin',
    file: 'ts/ha/lease.ts',
    find: 'this.#durationMs - this.#marginMs',
    replace: 'this.#durationMs',
    breaks: 'with a slow clock two nodes serve at the same time',
    checker: 'model',
  },
  {
    name: 'the keeper does not wait for the margin of a lease',
    file: 'ts/ha/lease.ts',
    find: 'lease.durationMs + this.#marginMs : 0',
    replace: 'lease.durationMs : 0',
    breaks: 'with a slow clock two nodes serve at the same time',
    checker: 'model',
  },
  {
    name: 'a lease counts from when its answer came',
    file: 'ts/ha/register.ts',
    find: "if (kind === 'swapped') this.ownSwapSentMs = operation.sentMs",
    replace: "if (kind === 'swapped') this.ownSwapSentMs = now",
    breaks: 'after a slow answer two nodes serve at the same time',
    checker: ['unit/ha/register.test', 'unit/ha/lease.test'],
  },
  {
    name: 'an owner whose lease has ended goes on',
    file: 'ts/ha/course.ts',
    find: 'return holdsLease(this.state) && this.isOwner ? this.lease.fenceAtMs : 0',
    replace: 'return holdsLease(this.state) && this.isOwner ? Number.MAX_SAFE_INTEGER : 0',
    breaks: 'an owner that was stopped for a while lets answers out as if nothing had happened',
    checker: 'model',
  },
  {
    name: 'a living owner is taken over',
    file: 'ts/ha/observer.ts',
    find: '      this.#decideAt(this.#lease.othersEndMs)\n      return keep(',
    replace: '      this.#decideAt(this.#lease.othersEndMs)\n      if (now < 0) return keep(',
    breaks: 'two nodes serve at the same time',
    checker: 'model',
    isQuick: true,
  },
  {
    name: 'a ring that the record does not list is taken for the log',
    file: 'ts/ha/plan.ts',
    find: "if (isListed(record, node, log.incarnation)) return ''",
    replace: "if (record.version > 0) return ''",
    breaks: 'a node that missed acknowledged changes serves without them',
    checker: 'model',
  },
  {
    name: 'a swap without an answer is taken for none',
    file: 'ts/ha/register.ts',
    find: "    if (operation.next.log === 'in-sync') this.#doubtInSync = true\n",
    replace: '',
    breaks: 'the owner acknowledges alone while the record may call the partner in sync',
    checker: ['unit/ha/register.test', 'unit/ha/ownership.test'],
  },
  {
    name: 'a new owner serves before it has announced itself',
    file: 'ts/ha/wish.ts',
    find: 'return !mayBeInSync && onlyOwn && !record.clean',
    replace: 'return onlyOwn || record.version > 0',
    breaks: 'the record still lists a ring that gets nothing more',
    checker: 'model',
    isQuick: true,
  },
  {
    name: 'a handover that was carried out leads nowhere',
    file: 'ts/ha/transitions.ts',
    find: "moves: { 'handed over': 'keeper', 'lease lost': 'fenced' },",
    replace: "moves: { 'lease lost': 'fenced' },",
    breaks: 'an ownership that was given away has nobody who takes it',
    checker: 'model',
  },
]

export const mutations: readonly Mutation[] = [...promises, ...recovery, ...consistencyPoints, ...ownership]
