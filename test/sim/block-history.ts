import { BLOCK_SIZE } from '../../ts/base/units.ts'

/** What a block may hold. Contents are never changed, so they are compared by identity first. */
export type Content = Uint8Array

export const NOTHING: Content = new Uint8Array(BLOCK_SIZE)

/** What one request does to one block. */
export interface Change {
  /** what the block holds after it, if it held `before` */
  applied(before: Content): Content
}

/** One way in which all can have happened: what the block holds, and which of the pending are in it. */
interface Way {
  readonly content: Content
  readonly done: readonly Change[]
}

interface Past {
  readonly content: Content
  /** the moment after which it was not possible any more */
  untilStep: number
}

/**
 * The linearizability check of one block. Changes that overlap in time may take effect in any order;
 * kept are all ways that fit what was observed. A read must show what the block held at some moment
 * between its request and its answer.
 */
export class BlockHistory {
  /** rises with everything that changes what is possible */
  version = 0
  #pending: Change[] = []
  #ways: Way[] = [{ content: NOTHING, done: [] }]
  /** contents that were possible once and are not now; needed for reads under way and for lost memory */
  #past: Past[] = []

  get pendingCount(): number {
    return this.#pending.length
  }

  get wayCount(): number {
    return this.#ways.length
  }

  begin(change: Change): void {
    this.version += 1
    this.#pending.push(change)
  }

  /** It was answered: it has taken effect. */
  end(change: Change, step: number): void {
    const ways = this.#closure().filter((way) => way.done.includes(change))
    this.#settle(change, ways, step)
  }

  /** It will not be answered, and it cannot take effect any more: it has, or it has not. */
  decide(change: Change, step: number): void {
    this.#settle(change, this.#closure(), step)
  }

  /** Whether a read of bytes [from, to) that began at `step`, at that `version`, may show this. */
  observe(
    shown: Uint8Array,
    from: number,
    to: number,
    step: number,
    version: number,
    nowStep: number,
  ): boolean {
    const fits = (content: Content): boolean => isSame(content, shown, from, to)
    const ways = this.#pending.length === 0 ? this.#ways : this.#closure()
    const fitting = ways.filter((way) => fits(way.content))
    if (version === this.version) {
      // nothing began or ended meanwhile: what was seen was there, and what does not fit was not
      if (fitting.length > 0) this.#narrow(fitting, nowStep)
      return fitting.length > 0
    }
    return fitting.length > 0 || this.#past.some((past) => past.untilStep >= step && fits(past.content))
  }

  /** The content, if it is certain. */
  get certain(): Content | undefined {
    return this.#pending.length === 0 && this.#ways.length === 1 ? this.#ways[0]!.content : undefined
  }

  /** Everything that the block may hold now. */
  possible(): Content[] {
    return this.#closure().map((way) => way.content)
  }

  /** Everything that it may have held since `step`. */
  possibleSince(step: number): Content[] {
    const past = this.#past.filter(({ untilStep }) => untilStep >= step).map(({ content }) => content)
    return [...this.possible(), ...past]
  }

  /** Memory was lost, and with it what was not stable since `step`: any content since then may be back. */
  regress(step: number): void {
    const contents = new Set(this.possibleSince(step))
    this.#ways = [...contents].map((content) => ({ content, done: [] }))
    this.version += 1
  }

  /** Nothing before this step matters any more. */
  forget(step: number): void {
    if (this.#past.length > 0) this.#past = this.#past.filter((past) => past.untilStep >= step)
  }

  #settle(change: Change, ways: readonly Way[], step: number): void {
    for (const { content } of this.#closure()) this.#past.push({ content, untilStep: step })
    this.version += 1
    this.#pending = this.#pending.filter((one) => one !== change)
    this.#ways = distinct(
      ways.map(({ content, done }) => ({ content, done: done.filter((one) => one !== change) })),
    )
  }

  #narrow(ways: Way[], step: number): void {
    if (this.#pending.length === 0 && ways.length === this.#ways.length) return
    for (const content of this.possible()) this.#past.push({ content, untilStep: step })
    this.#ways = ways
    // another read may have looked before a pending change took effect that this one has seen
    if (this.#pending.length > 0) this.version += 1
  }

  /** Every way, with any of the pending changes applied behind it in any order. */
  #closure(): Way[] {
    if (this.#pending.length === 0) return this.#ways
    const reached = [...this.#ways]
    for (let at = 0; at < reached.length; at += 1) {
      const { content, done } = reached[at]!
      for (const change of this.#pending) {
        if (done.includes(change)) continue
        addIfNew(reached, { content: change.applied(content), done: [...done, change] })
      }
    }
    return reached
  }
}

function addIfNew(ways: Way[], added: Way): void {
  const isKnown = ways.some(
    (way) =>
      way.done.length === added.done.length &&
      isSame(way.content, added.content) &&
      added.done.every((change) => way.done.includes(change)),
  )
  if (!isKnown) ways.push(added)
}

function distinct(ways: readonly Way[]): Way[] {
  const kept: Way[] = []
  for (const way of ways) addIfNew(kept, way)
  return kept
}

export function isSame(content: Content, shown: Uint8Array, from = 0, to = BLOCK_SIZE): boolean {
  if (content === shown) return true
  const expected = from === 0 && to === BLOCK_SIZE ? content : content.subarray(from, to)
  return Buffer.compare(expected, shown) === 0
}
