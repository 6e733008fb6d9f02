import type { ArbiterAnswer } from '../../ts/ports/arbiter.ts'
import {
  helloOf,
  killProcess,
  leaveSession,
  noticeLinkDown,
  receive,
  send,
  startProcess,
  within,
} from './engine.ts'
import type { Opened } from './opened.ts'
import { addPlex, addWord, branched, keepsLostLog, mayPublish, plexMistake, publish } from './plexes.ts'
import {
  type Asked,
  fork,
  isAwake,
  isServing,
  localMs,
  logFactsOf,
  type NodeState,
  names,
  type PairState,
  STEP_MS,
} from './state.ts'

/** Something that may happen next. */
export interface Action {
  readonly name: string
  /** happens within no time if nothing is in its way: time does not pass before it */
  readonly isPrompt: boolean
  readonly apply: () => PairState
}

/** A property does not hold. */
export class Broken extends Error {}

/** Everything that may happen in this state. */
export function actionsIn(state: PairState): Action[] {
  const found: Action[] = []
  const add = (
    name: string,
    isPrompt: boolean,
    node: number | undefined,
    change: (next: PairState) => void,
  ) => {
    const apply = (): PairState => {
      const next = fork(state, node)
      within(next, () => change(next))
      tidy(next)
      return next
    }
    found.push({ name: node === undefined ? name : `${names[node]}: ${name}`, isPrompt, apply })
  }
  for (const index of [0, 1]) {
    const node = state.nodes[index]!
    if (node.ownership === undefined) add('starts', false, index, (next) => startProcess(next, index))
    else if (node.paused) add('goes on', false, index, (next) => (next.nodes[index]!.paused = false))
    else addLife(state, index, add)
    if (node.ownership !== undefined) addFaults(state, index, add)
  }
  for (const each of state.asked) addArbiter(state, each, add)
  addLink(state, add)
  addPlexFaults(state, add)
  if (found.some((action) => action.isPrompt)) return found
  if (state.budget.drifts > 0) addDrift(add)
  add('time passes', false, undefined, passTime)
  return found
}

type Add = (
  name: string,
  isPrompt: boolean,
  node: number | undefined,
  change: (next: PairState) => void,
) => void

/** What a process does by itself. Every change begins as a turn of the engine does. */
function addLife(state: PairState, index: number, add: Add): void {
  const node = state.nodes[index]!
  const ownership = node.ownership!
  const turn = (name: string, isPrompt: boolean, change: (node: NodeState, next: PairState) => void): void =>
    add(name, isPrompt, index, (next) => {
      const own = next.nodes[index]!
      noticeLinkDown(own, localMs(next, own))
      change(own, next)
    })
  const { inbox, budget } = state
  const nowMs = localMs(state, node)
  if (ownership.state === 'stopped')
    return add('ends', true, index, (next) => killProcess(next, index, false))
  if (node.wentDown || nowMs >= ownership.nextWakeMs)
    turn('takes a turn', true, (own) => own.ownership!.tick(nowMs))
  const [message] = inbox[index]!
  if (message !== undefined && node.session) {
    add(`hears ${message.kind}`, true, index, (next) => {
      next.inbox[index] = next.inbox[index]!.slice(1)
      receive(next, index, message)
    })
  }
  if (ownership.state === 'fenced')
    turn('lets go', true, (own) => {
      if (own.ownership!.state === 'fenced') own.ownership!.rejoin(nowMs, logFactsOf(own))
    })
  addOpening(state, index, turn)
  if (node.owner) addOwner(state, index, turn)
  else if (budget.branches > 0 && !node.opening) addWord(state, turn)
  if (budget.stops > 0 && ownership.state !== 'stopping')
    turn('is told to stop', false, (own, next) => {
      next.budget.stops -= 1
      own.ownership!.stop(nowMs, { pair: false })
    })
}

export type Turn = (
  name: string,
  isPrompt: boolean,
  change: (node: NodeState, next: PairState) => void,
) => void

/** Opening ends only while the lease is live: the stamp in the vault could not be written later. */
function addOpening(state: PairState, index: number, turn: Turn): void {
  const { opening, ownership } = state.nodes[index]!
  const { budget } = state
  const nowMs = localMs(state, state.nodes[index]!)
  if (opening === undefined || ownership!.fenceAtMs <= nowMs) return
  addPlex(state, index, turn)
  if (opening.branch === 'none' || ownership!.isPlexStale(0))
    turn('has opened the image', true, (own, next) => {
      if (own.opening !== undefined) opened(own, next)
    })
  if (budget.failedOpenings === 0) return
  turn('cannot open the image', false, (own, next) => {
    if (own.opening === undefined) return
    next.budget.failedOpenings -= 1
    own.opening = undefined
    own.ownership!.openFailed(nowMs, new Error('a disk is missing'))
  })
}

function opened(own: NodeState, next: PairState): void {
  const { how, log, epoch } = own.opening!
  const entries = log === 'ring' ? own.ring.entries : 0
  const missing = next.acknowledged & ~(next.image | entries)
  if (missing !== 0 && how !== 'forced')
    throw new Broken(`it opens (${how}, log from ${log}) without acknowledged writes ${missing.toString(2)}`)
  if (how === 'forced') next.acknowledged &= ~missing
  own.opening = undefined
  own.owner = true
  own.ring = { ...own.ring, epoch, complete: true, lost: false, entries }
  own.ownership!.logChanged(localMs(next, own), logFactsOf(own))
  own.ownership!.opened(localMs(next, own))
}

function addOwner(state: PairState, index: number, turn: Turn): void {
  const node = state.nodes[index]!
  const { acknowledged, image, budget } = state
  const nowMs = localMs(state, node)
  const ownership = node.ownership!
  const isLive = ownership.fenceAtMs > nowMs
  if (!isLive) return
  addCatchUp(state, index, turn)
  if (!(ownership.serves || node.quiescing)) return
  addPlex(state, index, turn)
  const isDemanding = ownership.mirrorRequired || node.joining
  const safe = isDemanding ? node.mirrored : ownership.maySoloAck ? node.ring.entries : 0
  const due = node.ring.entries & safe & ~acknowledged
  if (due !== 0) turn(`acknowledges ${due}`, false, (_, next) => (next.acknowledged |= due))
  const isPointDue = node.ring.entries & ~image && !(node.ring.entries & ~acknowledged)
  if (budget.points > 0 && isPointDue && mayPublish(state, node))
    turn('takes a consistency point', false, (own, next) => {
      if (!mayPublish(next, own)) return
      next.budget.points -= 1
      publish(own, next)
    })
  if (budget.writes > 0 && ownership.serves && !node.quiescing)
    turn('logs a write', false, (own, next) => logWrite(own, next, index))
  if (budget.handovers > 0 && ownership.state === 'serving-mirrored')
    turn('is told to hand over', false, (own, next) => {
      next.budget.handovers -= 1
      own.ownership!.handover(nowMs, 1, { dryRun: false })
    })
  if (budget.reopenings > 0 && ownership.state === 'serving-mirrored')
    turn('opens anew', false, (own, next) => {
      next.budget.reopenings -= 1
      own.ownership!.openAnew(nowMs)
    })
  if (node.quiescing && !(node.ring.entries & ~acknowledged) && mayPublish(state, node))
    turn('is quiet', true, (own, next) => {
      if (!own.quiescing || own.ring.entries & ~next.acknowledged || !mayPublish(next, own)) return
      publish(own, next)
      own.quiescing = false
      own.ownership!.quiesced(nowMs)
    })
}

function logWrite(own: NodeState, next: PairState, index: number): void {
  next.budget.writes -= 1
  const bit = 1 << next.writes
  next.writes += 1
  own.ring = { ...own.ring, entries: own.ring.entries | bit }
  if (own.mirroring) send(next, index, { kind: 'entries', epoch: own.ownership!.epoch, entries: bit })
}

/** As ts/engine/catch-up.ts: begin, send, wait for it, say so to the arbiter. */
function addCatchUp(state: PairState, index: number, turn: Turn): void {
  const { partner, mirroring, joining, ownership, ring, mirrored } = state.nodes[index]!
  const { acknowledged, image } = state
  const nowMs = localMs(state, state.nodes[index]!)
  if (partner?.state !== 'keeper') return
  if (!mirroring && ownership!.mayFillPartner(nowMs) && !keepsLostLog(state))
    turn('begins a copy', true, (own, next) => {
      if (own.partner === undefined || !own.ownership!.mayFillPartner(nowMs)) return
      own.mirroring = true
      own.mirrored = 0
      own.answered = false
      const { epoch } = own.ownership!
      send(next, index, { kind: 'base', epoch })
      send(next, index, { kind: 'entries', epoch, entries: own.ring.entries })
    })
  if (!mirroring || ownership!.mirrorRequired) return
  if (!joining && ownership!.wantsPartner(nowMs))
    turn('waits for the copy from now on', true, (own) => {
      if (own.mirroring && own.ownership!.wantsPartner(nowMs)) own.joining = true
    })
  if (joining && !(acknowledged & ring.entries & ~image & ~mirrored))
    turn('has brought the copy up to date', true, (own) => {
      if (!own.joining || own.partner === undefined) return
      own.ownership!.partnerComplete(nowMs, own.partner.incarnation)
      if (own.ownership!.mirrorRequired || own.ownership!.state === 'pairing') own.joining = false
    })
}

function addFaults({ budget, nodes }: PairState, index: number, add: Add): void {
  if (budget.crashes > 0)
    add('is killed', false, index, (next) => {
      next.budget.crashes -= 1
      killProcess(next, index, false)
    })
  if (budget.lostRings > 0)
    add('loses its host', false, index, (next) => {
      next.budget.lostRings -= 1
      killProcess(next, index, true)
    })
  if (budget.pauses > 0 && !nodes[index]!.paused)
    add('is stopped for a while', false, index, (next) => {
      next.budget.pauses -= 1
      next.nodes[index]!.paused = true
    })
}

function addArbiter(state: PairState, asked: Asked, add: Add): void {
  const { budget, nodes } = state
  const what = `${names[asked.node]}'s ${asked.next ? 'swap' : 'read'}`
  const change = (name: string, isPrompt: boolean, what: (next: PairState) => void) =>
    add(name, isPrompt && !asked.late, undefined, what)
  const node = nodes[asked.node]!
  const isThere = node.boot === asked.boot
  // unless it is late, a read is carried out when it is heard of: what was older would only be known later
  const isOneStep = asked.next === undefined && !asked.late
  if (!asked.outcome && !isOneStep)
    change(`the arbiter carries out ${what}`, true, (next) => carryOut(next, asked))
  else if (isThere && isAwake(node)) {
    add(`hears of its ${asked.next ? 'swap' : 'read'}`, !asked.late, asked.node, (next) => {
      if (isOneStep)
        answer(next, asked, answerTo(next, { ...asked, outcome: { record: next.record, applied: false } }))
      else answer(next, asked, answerTo(next, asked))
    })
  }
  if (!isThere) change(`${what} is lost`, false, (next) => forget(next, asked))
  if (budget.lateAnswers === 0 || asked.late || !isThere) return
  change(`${what} is late`, false, (next) => {
    next.budget.lateAnswers -= 1
    replace(next, asked, { ...asked, late: true })
  })
  if (!isAwake(node)) return
  add('cannot reach the arbiter', false, asked.node, (next) => {
    next.budget.lateAnswers -= 1
    const isPending = asked.next !== undefined && !asked.outcome
    answer(next, asked, { kind: 'unreachable', reason: 'the model' })
    if (isPending) next.asked = [...next.asked, { ...asked, late: true }]
  })
}

function carryOut(next: PairState, asked: Asked): void {
  const before = next.record
  const applied = asked.next !== undefined && before?.version === asked.expected
  if (applied) next.record = { ...asked.next!, version: (asked.expected ?? 0) + 1 }
  branched(next, before)
  replace(next, asked, { ...asked, outcome: { record: next.record, applied } })
}

function answerTo(next: PairState, { next: wish, outcome }: Asked): ArbiterAnswer {
  const record = outcome!.record
  if (wish === undefined) {
    const boot = record?.lease?.boot
    const holderGone = boot !== undefined && next.nodes.every((node) => node.boot !== boot)
    return { kind: 'record', record, holderGone }
  }
  return outcome!.applied ? { kind: 'swapped', record: record! } : { kind: 'conflict', record }
}

/** Only the operation that is still waited for takes its answer in, as in ts/ha/register.ts. */
function answer(next: PairState, asked: Asked, value: ArbiterAnswer): void {
  forget(next, asked)
  const opened = next.nodes[asked.node]!.ownership as unknown as Opened
  const operation = opened.own_course.register.own_operation
  if (operation?.number === asked.number) operation.answer = value
}

function forget(next: PairState, asked: Asked): void {
  next.asked = next.asked.filter(({ number }) => number !== asked.number)
}

function replace(next: PairState, asked: Asked, by: Asked): void {
  next.asked = next.asked.map((each) => (each.number === asked.number ? by : each))
}

function addLink(state: PairState, add: Add): void {
  const { nodes, budget, isCableUp } = state
  const isUp = nodes.some((node) => node.session)
  if (isUp && budget.cuts > 0) {
    add('the link is cut', false, undefined, (next) => {
      next.budget.cuts -= 1
      next.isCableUp = false
      next.inbox = [[], []]
      for (const index of [0, 1]) {
        const node = { ...next.nodes[index]! }
        next.nodes[index as 0 | 1] = node
        if (node.session) leaveSession(node)
      }
    })
  }
  if (!isCableUp) add('the link is mended', false, undefined, (next) => (next.isCableUp = true))
  const mayDial = (node: NodeState): boolean =>
    isAwake(node) && !node.session && !node.wentDown && node.ownership!.state !== 'stopped'
  if (!isUp && isCableUp && nodes.every(mayDial)) {
    add('the nodes link', true, undefined, (next) => {
      const facts = next.nodes.map((node) => helloOf(node))
      next.nodes = [
        { ...next.nodes[0], session: true },
        { ...next.nodes[1], session: true },
      ]
      next.inbox = [[{ kind: 'hello', facts: facts[1]! }], [{ kind: 'hello', facts: facts[0]! }]]
    })
  }
}

function addPlexFaults({ budget, isPlexMissing, isKept, record }: PairState, add: Add): void {
  if (isKept && budget.labels > 0)
    add('plex 0 is labelled anew', false, undefined, (next) => {
      next.budget.labels -= 1
      next.isKept = false
    })
  if (isPlexMissing && budget.foundPlexes > 0)
    add('plex 1 comes back', false, undefined, (next) => {
      next.budget.foundPlexes -= 1
      next.isPlexMissing = false
    })
  if (!isPlexMissing && budget.lostPlexes > 0 && record?.plex0 === 'in-sync')
    add('plex 1 goes missing', false, undefined, (next) => {
      next.budget.lostPlexes -= 1
      next.isPlexMissing = true
    })
}

function addDrift(add: Add): void {
  for (const index of [0, 1]) {
    add('time passes, but not by its clock', false, index, (next) => {
      passTime(next)
      next.budget.drifts -= 1
      next.nodes[index]!.lagMs += STEP_MS
    })
  }
}

function passTime(next: PairState): void {
  next.nowMs += STEP_MS
}

/** What can have no effect any more is forgotten; then what must hold in every state is looked at. */
function tidy(next: PairState): void {
  next.asked = next.asked.filter((each) => {
    const opened = next.nodes[each.node]!.ownership as unknown as Opened | undefined
    const isThere = next.nodes[each.node]!.boot === each.boot
    const isAwaited = isThere && opened?.own_course.register.own_operation?.number === each.number
    const mayApply = each.next !== undefined && !each.outcome && each.expected === next.record?.version
    return isAwaited || mayApply
  })
  if (next.nodes.every((node) => isServing(next, node)))
    throw new Broken('two nodes may let answers out at the same time')
  const mistake = plexMistake(next)
  if (mistake) throw new Broken(mistake)
  for (const [index, { ring }] of next.nodes.entries()) {
    const isListed = next.record?.incarnations[names[index]!] === ring.incarnation
    if (isListed && next.acknowledged & ~(next.image | ring.entries))
      throw new Broken(`the record lists the ring of ${names[index]}, which lacks acknowledged writes`)
  }
}
