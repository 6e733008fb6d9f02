import { newestBranch, type OwnerRecord } from '../../ts/format/owner-record.ts'
import type { Opened } from './opened.ts'
import { localMs, type Message, type NodeState, names, type PairState, STEP_MS } from './state.ts'

/** A moment counts by how far it is ahead; what has passed has passed. */
const ahead = (atMs: number, nowMs: number): number | string =>
  atMs === Number.POSITIVE_INFINITY ? 'I' : Math.max(0, Math.ceil((atMs - nowMs) / STEP_MS))

/** A moment in the past counts by its age, up to the longest time that is counted from it. */
const age = (atMs: number, nowMs: number, steps: number): number =>
  Math.min(steps, Math.floor((nowMs - atMs) / STEP_MS))

/** Names of processes and rings: those that are there now; the others by the order in which they come up. */
class Names {
  readonly #known: Map<string, string>
  #others = 0

  constructor(state: PairState) {
    this.#known = new Map()
    for (const [index, { boot, ring }] of state.nodes.entries()) {
      this.#known.set(ring.incarnation, `r${index}`)
      if (boot !== '') this.#known.set(boot, `b${index}`)
    }
  }

  of(name: string): string {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const fresh = `x${this.#others}`
    this.#others += 1
    this.#known.set(name, fresh)
    return fresh
  }
}

/** Two states with the same text behave alike: times, epochs and versions only count by their differences. */
export function textOf(state: PairState): string {
  return new Digest(state).text()
}

class Digest {
  readonly #state: PairState
  readonly #names: Names
  readonly #epoch: number

  constructor(state: PairState) {
    this.#state = state
    this.#names = new Names(state)
    this.#epoch = state.record?.epoch ?? 0
  }

  text(): string {
    const { record, nodes, inbox, isCableUp, asked, image, acknowledged, imageEpoch, budget, writes } =
      this.#state
    const { isPlexMissing, isBehind, older, isKept } = this.#state
    const parts = [record ? this.#record(record) : '-', this.#node(nodes[0]), this.#node(nodes[1])]
    for (const messages of inbox) parts.push(messages.map((each) => this.#message(each)).join(','))
    for (const each of asked) {
      const isLive = this.#isAwaited(each.node, each.number)
      const wish = each.next ? this.#record(each.next) : 'read'
      const outcome = each.outcome
      const answer = !outcome ? '' : `${outcome.applied}${this.#known(outcome.record)}`
      const matches = each.next ? each.expected === record?.version : ''
      parts.push(`${each.node}${isLive}${wish}${matches}${answer}${each.late}`)
    }
    const epoch = record === undefined ? imageEpoch : this.#since(imageEpoch)
    parts.push(`${isPlexMissing} ${isBehind} ${older} ${isKept}`)
    parts.push(`${isCableUp} ${image} ${acknowledged} ${writes} ${epoch}`, Object.values(budget).join(','))
    return parts.join('|')
  }

  #isAwaited(node: number, number: number): boolean {
    const opened = this.#state.nodes[node]!.ownership as unknown as Opened | undefined
    return opened?.own_course.register.own_operation?.number === number
  }

  #since(epoch: number): number {
    return epoch - this.#epoch
  }

  #record(record: OwnerRecord): string {
    const { owner, epoch, log, plex0, plex1, incarnations, lease, clean, forced } = record
    const branch = newestBranch(record)
    const listed = names
      .map((name) => (incarnations[name] ? this.#names.of(incarnations[name]) : '-'))
      .join('')
    const holder = lease ? this.#names.of(lease.boot) : '-'
    const left = branch ? `${this.#since(branch.epoch)}${branch.lost}` : ''
    const words = `${log[0]}${plex0[0]}${plex1[0]}${clean ? 'c' : ''}${left}`
    return `${owner[0]}${this.#since(epoch)}${words}${listed}${holder}${forced.length}`
  }

  /** A record that somebody knows: is it the newest one? */
  #known(record: OwnerRecord | undefined): string {
    if (record === undefined) return this.#state.record === undefined ? '=' : '?'
    return record.version === this.#state.record?.version ? '=' : this.#record(record)
  }

  #message(message: Message): string {
    switch (message.kind) {
      case 'hello':
        return `h${this.#facts(message.facts)}`
      case 'base':
        return `b${this.#since(message.epoch)}`
      case 'entries':
        return `e${this.#since(message.epoch)}.${message.entries}`
      case 'acknowledge':
        return `a${this.#since(message.epoch)}${this.#names.of(message.incarnation)}.${message.entries}`
      case 'handover':
        return `o${this.#since(message.epoch)}${message.stays}`
      default:
        return message.kind
    }
  }

  #facts(facts: NodeState['partner']): string {
    if (facts === undefined) return '-'
    return `${facts.state[0]}${this.#since(facts.epoch)}${facts.logState}${this.#names.of(facts.incarnation)}`
  }

  #node(node: NodeState): string {
    const { ring, opening } = node
    const flags = [
      ring.complete,
      ring.lost,
      node.paused,
      node.owner,
      node.quiescing,
      node.session,
      node.wentDown,
    ]
    flags.push(node.mirroring, node.joining, node.answered)
    if (node.owner || opening) flags.push(...node.plexWords.map((word) => word === 'stale'))
    const bits = flags.map((flag) => (flag ? '1' : '0')).join('')
    const open = opening ? `${opening.how}${opening.log}${this.#since(opening.epoch)}${opening.branch}` : ''
    const text = `${bits} ${this.#since(ring.epoch)} ${ring.entries} ${node.mirrored} ${open}`
    return `${text} ${this.#facts(node.partner)} ${this.#ownership(node)}`
  }

  #ownership(node: NodeState): string {
    if (node.ownership === undefined) return '-'
    const course = (node.ownership as unknown as Opened).own_course
    const nowMs = localMs(this.#state, node)
    const { state, isClean, isDropped, releaseByMs, log, partnerFacts } = course
    const { own_claim: claim, own_claimedEpoch: claimed, own_keptEpoch: kept } = course
    const facts = log
      ? `${log.usable}${log.complete}${this.#since(log.epoch)}${this.#names.of(log.incarnation)}`
      : ''
    const past = state === 'taking-over' || state === 'opening' || state === 'announcing'
    const parts = [
      `${state}${isClean ? 'c' : ''}${isDropped ? 'd' : ''}${ahead(releaseByMs, nowMs)}`,
      course.partnerIncarnation ? this.#names.of(course.partnerIncarnation) : '',
      `${course.stopWanted !== undefined}${course.own_isHandoverFutile}${course.own_plexWords?.map((word) => word[0])}`,
      past && claim ? `${this.#record(claim.next)}${claim.how}${claim.log}${claim.branch !== undefined}` : '',
      claim?.branch ? `${course.branchLog}` : '',
      state === 'giving' || state === 'handing' ? course.own_heir : '',
      this.#meeting(course, nowMs),
      `${this.#since(claimed)} ${kept < 0 ? 'k' : this.#since(kept)} ${ahead(course.own_retryAtMs, nowMs)}`,
      facts,
      this.#facts(partnerFacts),
      ...this.#register(course, nowMs),
      ...this.#times(course, nowMs),
    ]
    return parts.join(' ')
  }

  /** What the giver said counts for the next epoch only, and once the image is open. */
  #meeting({ state, meeting, own_claimedEpoch: claimed }: Opened['own_course'], nowMs: number): string {
    const { own_toldEpoch: told, untilMs } = meeting
    const isEntering = state === 'taking-over' || state === 'opening'
    const counts = told >= this.#epoch || (isEntering && told === claimed - 1)
    return `${counts ? this.#since(told) : ''}m${state === 'announcing' ? ahead(untilMs, nowMs) : ''}`
  }

  #register({ register }: Opened['own_course'], nowMs: number): string[] {
    const { own_operation: operation, own_doubtSinceMs: doubt } = register
    const answer = operation?.answer
    const came = !answer ? '' : answer.kind[0] + ('record' in answer ? this.#known(answer.record) : '')
    const asked = operation
      ? `${operation.next ? this.#record(operation.next) : 'r'}${age(operation.sentMs, nowMs, 4)}`
      : ''
    const flags = [register.isRead, register.holderGone, register.mustRead, register.own_doubtInSync]
    return [
      this.#known(register.known),
      flags.map((flag) => (flag ? '1' : '0')).join(''),
      `${age(register.seenAtMs, nowMs, 6)} ${age(register.ownSwapSentMs, nowMs, 4)}`,
      `${register.trouble !== ''}`,
      `${asked}${came}`,
      doubt === undefined ? '' : `${age(doubt, nowMs, 4)} ${register.own_doubtPlexesInSync}`,
    ]
  }

  #times({ observer, flaps, desk }: Opened['own_course'], nowMs: number): string[] {
    const often = ahead(observer.own_oftenUntilMs, nowMs)
    return [
      `${ahead(observer.lookAtMs, nowMs)} ${ahead(observer.decideAtMs, nowMs)}`,
      `${age(observer.own_startedMs, nowMs, 2)}`,
      `${often} ${ahead(observer.own_reopenAtMs, nowMs)} ${observer.own_reopenDelayMs}`,
      `${ahead(flaps.joinAtMs, nowMs)} ${flaps.own_delayMs} ${age(flaps.own_partedAtMs, nowMs, 2)}`,
      `${desk.own_takeover !== undefined}${desk.own_handover !== undefined}`,
    ]
  }
}
