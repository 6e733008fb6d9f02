import { crc32c } from '../../ts/base/crc32c.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { BlockHistory, type Change, type Content, NOTHING } from './block-history.ts'
import { STAMP } from './platter.ts'

const SECTOR = 512

/** One request for a range, as the model sees it: what it does to each block of it. */
export class RangeChange {
  readonly offset: number
  readonly length: number
  readonly parts = new Map<number, Change>()

  /** `data`: what is written; undefined: zeroes. `wholeBlocksOnly`: the rest of a TRIM is ignored. */
  constructor(offset: number, length: number, data: Uint8Array | undefined, wholeBlocksOnly = false) {
    this.offset = offset
    this.length = length
    forEachBlock(offset, length, (block, from, to, at) => {
      const isWhole = from === 0 && to === BLOCK_SIZE
      if (wholeBlocksOnly && !isWhole) return
      const bytes = data?.subarray(at, at + to - from)
      if (isWhole) this.parts.set(block, new Whole(bytes ?? NOTHING))
      else this.parts.set(block, new Part(from, bytes ?? new Uint8Array(to - from)))
    })
  }
}

class Whole implements Change {
  readonly #content: Content

  constructor(content: Content) {
    this.#content = content
  }

  applied(): Content {
    return this.#content
  }
}

class Part implements Change {
  readonly #from: number
  readonly #bytes: Uint8Array
  readonly #known = new Map<Content, Content>()

  constructor(from: number, bytes: Uint8Array) {
    this.#from = from
    this.#bytes = bytes
  }

  applied(before: Content): Content {
    let after = this.#known.get(before)
    if (after === undefined) {
      after = before.slice()
      after.set(this.#bytes, this.#from)
      this.#known.set(before, after)
    }
    return after
  }
}

/** What a read remembers from its beginning. */
export interface Look {
  readonly step: number
  readonly versions: readonly number[]
}

/** What a volume may hold, block by block, after everything that clients were told. */
export class VolumeModel {
  readonly blocks = new Map<number, BlockHistory>()
  step = 0
  /** what was acknowledged before this step survives the loss of all memory */
  stableStep = 0
  readonly #looks = new Set<Look>()

  block(number: number): BlockHistory {
    let history = this.blocks.get(number)
    if (history === undefined) {
      history = new BlockHistory()
      this.blocks.set(number, history)
    }
    return history
  }

  begin(change: RangeChange): void {
    this.step += 1
    for (const [block, part] of change.parts) this.block(block).begin(part)
  }

  end(change: RangeChange): void {
    this.step += 1
    for (const [block, part] of change.parts) {
      const history = this.block(block)
      history.end(part, this.step)
      history.forget(this.#oldestStep)
    }
  }

  decide(change: RangeChange): void {
    this.step += 1
    for (const [block, part] of change.parts) this.block(block).decide(part, this.step)
  }

  look(offset: number, length: number): Look {
    const versions: number[] = []
    forEachBlock(offset, length, (block) => versions.push(this.block(block).version))
    const look = { step: this.step, versions }
    this.#looks.add(look)
    return look
  }

  /** Ends a read. Returns what is wrong with its answer, or undefined. */
  observe(look: Look, offset: number, shown: Uint8Array): string | undefined {
    this.#looks.delete(look)
    return this.judge(look, offset, offset, shown)
  }

  /** What is wrong with the bytes at `offset` of a read that began at `lookedFrom`, or undefined. */
  judge(look: Look, lookedFrom: number, offset: number, shown: Uint8Array): string | undefined {
    let mistake: string | undefined
    let place = Math.floor(offset / BLOCK_SIZE) - Math.floor(lookedFrom / BLOCK_SIZE)
    forEachBlock(offset, shown.length, (block, from, to, at) => {
      const version = look.versions[place]!
      place += 1
      const bytes = shown.subarray(at, at + to - from)
      if (this.block(block).observe(bytes, from, to, look.step, version, this.step)) return
      const possible = this.block(block).possible().map(told)
      mistake ??= `block ${block} shows ${told(bytes)}, possible: ${possible.join(' or ')}`
    })
    return mistake
  }

  forgetLook(look: Look): void {
    this.#looks.delete(look)
  }

  /** A FLUSH that was asked for at `step` has been answered. */
  flushed(step: number): void {
    this.stableStep = Math.max(this.stableStep, step)
  }

  /** All memory was lost: what was not stable may be undone. */
  regress(): void {
    this.step += 1
    for (const history of this.blocks.values()) history.regress(this.stableStep)
  }

  /** Whether some block of the range may have held one of these contents since `step`. */
  mayHold(offset: number, length: number, checksums: ReadonlySet<number>, step = this.step): boolean {
    let found = false
    forEachBlock(offset, length, (block) => {
      found ||= this.block(block)
        .possibleSince(step)
        .some((content) => checksums.has(crc32c(content)))
    })
    return found
  }

  get #oldestStep(): number {
    let oldest = this.stableStep
    for (const look of this.#looks) oldest = Math.min(oldest, look.step)
    return oldest
  }
}

/** Bytes that can be told from those of every other request and every other place. */
export function payload(offset: number, length: number, number: number): Uint8Array {
  const start = offset - (offset % SECTOR)
  const bytes = new Uint8Array(Math.ceil((offset + length - start) / SECTOR) * SECTOR)
  const words = new Uint32Array(bytes.buffer)
  words.fill(number)
  for (let word = 0; word < words.length; word += SECTOR / 4) {
    words[word] = STAMP
    words[word + 2] = (start + word * 4) / SECTOR
  }
  return bytes.subarray(offset - start, offset - start + length)
}

export function forEachBlock(
  offset: number,
  length: number,
  visit: (block: number, from: number, to: number, at: number) => void,
): void {
  const end = offset + length
  for (let at = offset; at < end; ) {
    const from = at % BLOCK_SIZE
    const to = Math.min(BLOCK_SIZE, from + end - at)
    visit(Math.floor(at / BLOCK_SIZE), from, to, at - offset)
    at += to - from
  }
}

function told(bytes: Uint8Array): string {
  const numbers = new Set<number>()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 12; at + 4 <= bytes.length; at += SECTOR) numbers.add(view.getUint32(at, true))
  const words = [...numbers].slice(0, 4).map((number) => (number === 0 ? 'zeroes' : `write ${number}`))
  return words.length === 0 ? 'a few bytes' : words.join('+')
}
