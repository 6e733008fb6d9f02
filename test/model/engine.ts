import { assert } from '../../ts/base/assert.ts'
import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import type { BranchPoint, OwnershipEffects, PartnerFacts } from '../../ts/ha/facts.ts'
import type { Ownership } from '../../ts/ha/ownership.ts'
import type { ArbiterPort } from '../../ts/ports/arbiter.ts'
import { type Opened, openedOwnership } from './opened.ts'
import {
  GRACE_MS,
  LEASE_MS,
  localMs,
  logFactsOf,
  MARGIN_MS,
  type Message,
  type NodeState,
  names,
  type PairState,
} from './state.ts'

const OpenedOwnership = await openedOwnership()

/** The state that is being changed: effects and questions to the arbiter arrive in it. */
let current: PairState | undefined

export function within<T>(state: PairState, what: () => T): T {
  current = state
  const result = what()
  current = undefined
  return result
}

const now = (): PairState => {
  assert(current !== undefined, 'effects occur while a state is changed')
  return current
}

/** Closes a node's end of the connection: what it has sent still arrives, then the partner sees the end. */
export function hangUp(state: PairState, index: number): void {
  const node = state.nodes[index]!
  if (!node.session) return
  leaveSession(node)
  state.inbox[index] = []
  send(state, index, { kind: 'end' })
}

export function leaveSession(node: NodeState): void {
  node.session = false
  node.wentDown = true
  node.partner = undefined
  node.mirroring = false
  node.joining = false
}

/** Nothing arrives at an end that has been closed. */
export function send(state: PairState, from: number, message: Message): void {
  const to = 1 - from
  if (state.nodes[to]!.session) state.inbox[to] = [...state.inbox[to]!, message]
}

/** What an engine owes to its ownership, as docs/ha.md says; ts/engine.ts is the real one. */
class ModelEffects implements OwnershipEffects {
  readonly #index: number

  constructor(index: number) {
    this.#index = index
  }

  get #node(): NodeState {
    return now().nodes[this.#index]!
  }

  open(
    record: OwnerRecord,
    how: Parameters<OwnershipEffects['open']>[1],
    log: 'ring' | 'vault' | 'none',
    branch?: BranchPoint,
  ): void {
    assert(this.#node.opening === undefined && !this.#node.owner, 'the role is taken once')
    this.#node.opening = { how, log, epoch: record.epoch, branch: branch ? 'wanted' : 'none' }
    this.#node.plexWords = [record.plex0, record.plex1 === 'in-sync' ? 'in-sync' : 'stale']
    hangUp(now(), this.#index)
  }

  keep(): void {}

  serve(): void {
    assert(this.#node.owner, 'only an opened aggregate is served')
    this.#node.quiescing = false
  }

  quiesce(): void {
    assert(this.#node.owner, 'only an owner has something to finish')
    this.#node.quiescing = true
  }

  drop(): void {
    const node = this.#node
    node.opening = undefined
    node.owner = false
    node.quiescing = false
    node.mirroring = false
    node.joining = false
    hangUp(now(), this.#index)
  }

  handover({ epoch }: OwnerRecord, stays: boolean): void {
    send(now(), this.#index, { kind: 'handover', epoch, stays })
  }

  changed(): void {}
  answer(): void {}
}

/** Notes what is asked; the explorer decides when and how it is answered. */
class ModelArbiter implements ArbiterPort {
  readonly #index: number

  constructor(index: number) {
    this.#index = index
  }

  read(): void {
    this.#ask(undefined, undefined)
  }

  swap(_aggregate: string, expected: number | undefined, next: OwnerRecord): void {
    this.#ask(expected, next)
  }

  #ask(expected: number | undefined, next: OwnerRecord | undefined): void {
    const state = now()
    const node = state.nodes[this.#index]!
    state.counter += 1
    const number = state.counter
    const opened = node.ownership as unknown as Opened
    opened.own_course.register.own_operation!.number = number
    const asked = {
      number,
      node: this.#index,
      boot: node.boot,
      expected,
      next,
      outcome: undefined,
      late: false,
    }
    state.asked = [...state.asked, asked]
  }
}

const effects = [new ModelEffects(0), new ModelEffects(1)]
const arbiters = [new ModelArbiter(0), new ModelArbiter(1)]

export function startProcess(state: PairState, index: number): void {
  const node = state.nodes[index]!
  state.counter += 1
  node.boot = `boot${state.counter}`
  const { imageEpoch } = state
  const settings = {
    aggregate: 'a',
    node: names[index]!,
    partner: names[1 - index]!,
    home: 'castor',
    boot: node.boot,
    leaseMs: LEASE_MS,
    marginMs: MARGIN_MS,
    partnerGraceMs: GRACE_MS,
    takeover: 'automatic',
    plexCount: 2,
    plexesHere: [0, 1],
    plexesThere: [0, 1],
    diskEpoch: () => imageEpoch,
  } as const
  node.ownership = new OpenedOwnership(settings, arbiters[index]!, effects[index]!)
  node.ownership.start(localMs(state, node), logFactsOf(node))
}

/** kill -9; with its memory the ring goes, too. */
export function killProcess(state: PairState, index: number, isRingLost: boolean): void {
  const node = state.nodes[index]!
  hangUp(state, index)
  state.asked = state.asked.filter((each) => each.boot !== node.boot || (each.next && !each.outcome))
  Object.assign(node, { ownership: undefined, boot: '', paused: false, opening: undefined, owner: false })
  Object.assign(node, { quiescing: false, wentDown: false, mirrored: 0, answered: false })
  if (!isRingLost) return
  state.counter += 1
  node.ring = { incarnation: `ring${state.counter}`, epoch: 0, complete: false, lost: true, entries: 0 }
}

export function helloOf(node: NodeState): PartnerFacts {
  const { ring } = node
  const isOwner = node.owner || node.opening !== undefined
  return {
    state: isOwner ? 'owner' : 'keeper',
    epoch: isOwner ? node.ownership!.epoch : ring.epoch,
    logState: ring.lost ? 0 : ring.complete ? 2 : 1,
    incarnation: ring.incarnation,
  }
}

/** What a turn of the engine begins with. */
export function noticeLinkDown(node: NodeState, nowMs: number): void {
  if (!node.wentDown) return
  node.wentDown = false
  node.ownership!.linkDown(nowMs)
}

/** One message from the partner, as `frame` in ts/engine.ts takes it. A text: the session must end. */
export function receive(state: PairState, index: number, message: Message): void {
  const node = state.nodes[index]!
  const ownership = node.ownership as Ownership
  if (message.kind === 'end') return leaveSession(node)
  if (message.kind === 'hello') {
    node.partner = message.facts
    node.mirroring = false
    node.joining = false
    return ownership.linkUp(localMs(state, node), message.facts)
  }
  if (node.partner === undefined) return hangUp(state, index)
  if (message.kind === 'acknowledge') {
    const counts = node.mirroring && message.epoch === ownership.epoch
    if (!counts || !node.owner || message.incarnation !== node.partner.incarnation) return
    node.mirrored = message.entries
    node.answered = true
    return
  }
  if (node.owner) return hangUp(state, index)
  if (message.kind === 'handover')
    return ownership.handedOver(localMs(state, node), message.epoch, message.stays)
  if (message.epoch < ownership.epoch) return hangUp(state, index)
  if (message.kind === 'base') beginCopy(state, node, message.epoch)
  else node.ring = { ...node.ring, entries: node.ring.entries | message.entries }
  const { epoch, incarnation, entries } = node.ring
  send(state, index, { kind: 'acknowledge', epoch, incarnation, entries })
}

function beginCopy(state: PairState, node: NodeState, epoch: number): void {
  node.ring = { ...node.ring, epoch, complete: true, lost: false, entries: 0 }
  node.ownership!.logChanged(localMs(state, node), logFactsOf(node))
}
