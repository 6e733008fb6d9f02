import type { StoreError } from '../../../ts/base/errors.ts'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type {
  BranchPoint,
  LogFacts,
  OwnershipEffects,
  OwnershipSettings,
  PartnerFacts,
  TakeoverOptions,
} from '../../../ts/ha/facts.ts'
import { Ownership } from '../../../ts/ha/ownership.ts'
import type { ArbiterAnswer, ArbiterPort } from '../../../ts/ports/arbiter.ts'

export const settingsOf = (more: Partial<OwnershipSettings> = {}): OwnershipSettings => ({
  aggregate: 'a',
  node: 'castor',
  partner: 'pollux',
  home: 'castor',
  boot: 'boot-c',
  leaseMs: 1000,
  marginMs: 100,
  partnerGraceMs: 500,
  takeover: 'automatic',
  plexCount: 1,
  plexesHere: [0, 1],
  plexesThere: [0, 1],
  diskEpoch: () => 0,
  ...more,
})

export const goodLog: LogFacts = {
  incarnation: 'ring-c',
  usable: true,
  complete: true,
  epoch: 4,
  lost: false,
  damage: '',
  hasDamagedEntry: false,
  vaultPossible: false,
  vaultCovers: 'never',
}

export const lostLog: LogFacts = { ...goodLog, incarnation: 'ring-new', usable: false, lost: true, epoch: 0 }

export const keeperFacts: PartnerFacts = { state: 'keeper', epoch: 4, logState: 2, incarnation: 'ring-p' }

export const leaseOf = (holder: string, boot: string) => ({ holder, boot, durationMs: 1000, counter: 1 })

/** Owned by castor, mirrored, in epoch 4, by a process that is not the one under test. */
export const mirrored: OwnerRecord = {
  version: 10,
  aggregate: 'a',
  owner: 'castor',
  epoch: 4,
  log: 'in-sync',
  incarnations: { castor: 'ring-c', pollux: 'ring-p' },
  plex0: 'in-sync',
  plex1: 'absent',
  lease: leaseOf('castor', 'boot-old'),
  clean: false,
  forced: [],
}

export const alone: OwnerRecord = { ...mirrored, log: 'stale', incarnations: { castor: 'ring-c' } }

/** Answers wait in a queue until the test lets them go; swaps are applied when they are answered. */
export class ScriptedArbiter implements ArbiterPort {
  record: OwnerRecord | undefined
  isHolderGone = false
  readonly asked: {
    next: OwnerRecord | undefined
    answer: (how: 'well' | 'unreachable' | 'lost') => void
  }[] = []

  read(_aggregate: string, done: (answer: ArbiterAnswer) => void): void {
    this.#queue(undefined, done, () => ({
      kind: 'record',
      record: this.record,
      holderGone: this.isHolderGone,
    }))
  }

  swap(
    _: string,
    expected: number | undefined,
    next: OwnerRecord,
    done: (answer: ArbiterAnswer) => void,
  ): void {
    this.#queue(next, done, () => {
      if (this.record?.version !== expected) return { kind: 'conflict', record: this.record }
      this.record = { ...next, version: (expected ?? 0) + 1 }
      return { kind: 'swapped', record: this.record }
    })
  }

  /** As somebody else would change it. */
  change(change: Partial<OwnerRecord>): void {
    const record = this.record as OwnerRecord
    this.record = { ...record, ...change, version: record.version + 1 }
  }

  #queue(
    next: OwnerRecord | undefined,
    done: (answer: ArbiterAnswer) => void,
    apply: () => ArbiterAnswer,
  ): void {
    const unreachable = { kind: 'unreachable', reason: 'the arbiter is away' } as const
    this.asked.push({
      next,
      answer: (how) => {
        // lost: applied, but nobody hears of it
        const answer = how === 'unreachable' ? unreachable : apply()
        done(how === 'lost' ? unreachable : answer)
      },
    })
  }
}

/** One node under test, its clock, and everything that it wanted done. */
export class Rig implements OwnershipEffects {
  readonly arbiter = new ScriptedArbiter()
  readonly ownership: Ownership
  readonly done: string[] = []
  readonly answers = new Map<number, { result: unknown; error: StoreError | undefined }>()
  nowMs = 1000

  constructor(record: OwnerRecord | undefined, settings: Partial<OwnershipSettings> = {}) {
    this.arbiter.record = record
    this.arbiter.isHolderGone = true
    this.ownership = new Ownership(settingsOf(settings), this.arbiter, this)
  }

  /** Lets the arbiter answer whatever it is asked until it is asked no more. */
  settle(how: 'well' | 'unreachable' | 'lost' = 'well'): void {
    for (let rounds = 0; rounds < 20 && this.arbiter.asked.length > 0; rounds += 1) this.answerOne(how)
  }

  answerOne(how: 'well' | 'unreachable' | 'lost'): void {
    this.arbiter.asked.shift()?.answer(how)
    this.ownership.tick(this.nowMs)
  }

  /** Time passes; the node is woken when it wants to be, and the arbiter answers. */
  pass(durationMs: number, how: 'well' | 'unreachable' | 'silent' = 'well'): void {
    const endMs = this.nowMs + durationMs
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, Math.max(this.nowMs + 1, this.ownership.nextWakeMs))
      this.ownership.tick(this.nowMs)
      if (how !== 'silent') this.settle(how)
    }
  }

  start(log: LogFacts = goodLog): this {
    this.ownership.start(this.nowMs, log)
    this.settle()
    return this
  }

  /** Until clients are served by this node alone. */
  serveAlone(): this {
    this.start()
    this.ownership.opened(this.nowMs)
    this.settle()
    return this
  }

  /** Until everything is mirrored to the partner. */
  serveMirrored(): this {
    this.serveAlone()
    this.ownership.linkUp(this.nowMs, keeperFacts)
    this.ownership.partnerComplete(this.nowMs, 'ring-p')
    this.settle()
    this.done.length = 0
    return this
  }

  takeover(request: number, options: Partial<TakeoverOptions> = {}): void {
    const words = { force: false, acceptDataLoss: false, reason: 'castor burnt', at: 'today', dryRun: false }
    this.ownership.takeover(this.nowMs, request, { ...words, ...options })
    this.settle()
  }

  open(record: OwnerRecord, how: string, log: string, branch?: BranchPoint): void {
    const from = branch ? ` from ${branch.generation} of plex ${branch.plex}` : ''
    this.done.push(`open ${how} ${log} ${record.epoch}${from}`)
  }
  keep(record: OwnerRecord): void {
    this.done.push(`keep ${record.owner} ${record.epoch}`)
  }
  serve(): void {
    this.done.push('serve')
  }
  quiesce(): void {
    this.done.push('quiesce')
  }
  drop(): void {
    this.done.push('drop')
  }
  handover(record: OwnerRecord, stays: boolean): void {
    this.done.push(`handover ${record.owner}${stays ? '' : ' and leaves'}`)
  }
  changed(): void {}
  answer(request: number, result: unknown, error?: StoreError): void {
    this.answers.set(request, { result, error })
  }
}
