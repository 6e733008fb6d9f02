import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import { ownerRecordMistake } from '../../ts/format/owner-record.ts'
import type { ArbiterAnswer, ArbiterPort } from '../../ts/ports/arbiter.ts'
import type { SimEngine } from './engine-host.ts'
import type { SimWorld } from './world.ts'

/** The small store that both nodes reach, or one, or none; slow, or failing after it has done its work. */
export class SimArbiter {
  readonly records = new Map<string, OwnerRecord>()
  /** names of nodes that do not reach it */
  readonly unreachableFrom = new Set<string>()
  slowMs = 0
  /** probability that a swap is applied and answered as if it were not known */
  failsAfterwards = 0
  /** as the file arbiter does, it knows whether the process that holds a lease has ended */
  knowsProcesses = true
  /** swaps on their way, by aggregate: what the record will say is not settled */
  readonly underway = new Map<string, number>()
  /** how often a plex was called in sync again */
  resyncs = 0
  readonly #world: SimWorld

  constructor(world: SimWorld) {
    this.#world = world
  }

  heal(): void {
    this.unreachableFrom.clear()
    this.slowMs = 0
    this.failsAfterwards = 0
  }

  portFor(host: SimEngine): ArbiterPort {
    const answer = (done: (answer: ArbiterAnswer) => void, what: ArbiterAnswer): void => {
      this.#later(() => host.act(() => done(what)))
    }
    return {
      read: (aggregate, done) => {
        this.#later(() => {
          if (this.#isUnreachable(host)) return answer(done, unreachable)
          const record = this.#copy(aggregate)
          answer(done, { kind: 'record', record, holderGone: this.#holderGone(record) })
        })
      },
      swap: (aggregate, expected, next, done) => {
        const wanted = copyOf(next)
        this.#count(aggregate, 1)
        this.#later(() => {
          this.#count(aggregate, -1)
          answer(done, this.#swap(host, aggregate, expected, wanted))
        })
      },
    }
  }

  #swap(
    host: SimEngine,
    aggregate: string,
    expected: number | undefined,
    wanted: OwnerRecord,
  ): ArbiterAnswer {
    const { random } = this.#world
    const isLost = this.#isUnreachable(host) || random.chance(this.failsAfterwards)
    const before = this.records.get(aggregate)
    // one that is lost may have been applied all the same
    const isApplied = (!isLost || random.chance(0.5)) && before?.version === expected
    if (isApplied) this.#apply(aggregate, before, { ...wanted, version: (expected ?? 0) + 1 })
    if (isLost) return unreachable
    const record = this.#copy(aggregate)
    return isApplied ? { kind: 'swapped', record: record! } : { kind: 'conflict', record }
  }

  #apply(aggregate: string, before: OwnerRecord | undefined, after: OwnerRecord): void {
    const mistake = ownerRecordMistake(after)
    if (mistake !== undefined) throw new Error(`a record with a mistake was swapped in: ${mistake}`)
    if (before !== undefined && after.epoch < before.epoch) throw new Error('the epoch of a record fell')
    if (
      before !== undefined &&
      after.owner !== before.owner &&
      before.lease !== null &&
      after.lease !== null
    ) {
      if (after.epoch === before.epoch) throw new Error('the owner changed without a new epoch')
    }
    const losses = this.#world.lossesOf(aggregate)
    losses?.look()
    this.records.set(aggregate, after)
    losses?.look()
    for (const plex of ['plex0', 'plex1'] as const) {
      if (before?.[plex] === 'stale' && after[plex] === 'in-sync') this.resyncs += 1
    }
  }

  #copy(aggregate: string): OwnerRecord | undefined {
    const record = this.records.get(aggregate)
    return record && copyOf(record)
  }

  #later(run: () => void): void {
    const { scheduler, random } = this.#world
    scheduler.after(random.between(0.2, 3) + this.slowMs * random.between(0, 1), run)
  }

  #isUnreachable(host: SimEngine): boolean {
    return this.unreachableFrom.has(host.node.name)
  }

  #count(aggregate: string, by: number): void {
    this.underway.set(aggregate, (this.underway.get(aggregate) ?? 0) + by)
  }

  #holderGone(record: OwnerRecord | undefined): boolean {
    const boot = record?.lease?.boot
    if (boot === undefined || !this.knowsProcesses) return false
    return !this.#world.hosts().some((host) => !host.isDead && host.bootText === boot)
  }
}

const unreachable: ArbiterAnswer = { kind: 'unreachable', reason: 'simulated' }

/** Nobody holds what another one may change. */
function copyOf(record: OwnerRecord): OwnerRecord {
  const { incarnations, lease, forced } = record
  return {
    ...record,
    incarnations: { ...incarnations },
    lease: lease && { ...lease },
    forced: forced.map((word) => ({ ...word })),
  }
}
