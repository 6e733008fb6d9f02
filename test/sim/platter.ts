import { crc32c } from '../../ts/base/crc32c.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import type { Random } from './random.ts'

const SECTOR = 512
export const ZEROES = new Uint8Array(BLOCK_SIZE)

/** What a world does to a disk at this moment; all off in peace. */
export interface DiskFaults {
  /** probability that a read of a block fails; the same block fails for as long as the fault lasts */
  read: number
  /** probabilities that a write, or a flush, is answered with an error */
  write: number
  flush: number
  /** a factor on every delay */
  slow: number
  /** nothing is answered */
  isStuck: boolean
  /** everything fails, and it cannot be opened either */
  isGone: boolean
  /** a flush is answered, and nothing is durable by it */
  lies: boolean
  /** probabilities that the write of a block is answered and lost, or lands in another's place */
  lost: number
  misdirected: number
}

const peace = (): DiskFaults => ({
  read: 0,
  write: 0,
  flush: 0,
  slow: 1,
  isStuck: false,
  isGone: false,
  lies: false,
  lost: 0,
  misdirected: 0,
})

/** What lies on a disk that both nodes reach: what is durable, and what its cache still holds. */
export class Platter {
  readonly byteLength: number
  readonly durable = new Map<number, Uint8Array>()
  /** written and visible, but not flushed: block -> its contents since the last flush, oldest first */
  cache = new Map<number, Uint8Array[]>()
  writes = 0
  faults = peace()
  /** faults that lose or damage may hit any block that a superblock reaches, and not only data of clients */
  losesAnything = false
  /** writes that gave a damaged block back what it should hold */
  repairs = 0
  /** blocks that hold something else than what was last written to them */
  readonly rotten = new Set<number>()
  /** blocks that once were damaged, or could not be read for a while */
  readonly everBad = new Set<number>()
  /** checksums of contents that cannot be had back, and of those that could not be for a while */
  readonly lostContents = new Set<number>()
  readonly doubtfulContents = new Set<number>()
  /** those that are no data of clients: any block under them could not be had for a while */
  readonly doubtfulMetadata = new Set<number>()
  #wasGone = false
  readonly #unreadable = new Map<number, boolean>()
  #isDetached = false

  constructor(byteLength: number) {
    this.byteLength = byteLength
  }

  /** Nothing that is asked of it is done. */
  get isGone(): boolean {
    this.#wasGone ||= this.#isDetached || this.faults.isGone
    return this.#isDetached || this.faults.isGone
  }

  /** Something was asked of it that was not done. */
  get wasGone(): boolean {
    return this.#wasGone
  }

  /** Whether nothing is done to it at this moment that could cost any content. */
  get isWell(): boolean {
    const { read, write, flush, isStuck, lost, misdirected } = this.faults
    return !this.isGone && !isStuck && read + write + flush + lost + misdirected === 0
  }

  /** Whether some of what it should hold cannot be had from it at this moment. */
  get withholds(): boolean {
    return this.isGone || this.faults.read > 0 || this.rotten.size > 0
  }

  /** Whether some content could not be had, for good or for a while. */
  get hasLost(): boolean {
    return this.lostContents.size + this.doubtfulContents.size > 0
  }

  block(number: number): Uint8Array {
    return this.cache.get(number)?.at(-1) ?? this.durable.get(number) ?? ZEROES
  }

  put(number: number, bytes: Uint8Array): void {
    this.writes += 1
    if (this.rotten.delete(number) && this.lostContents.has(crc32c(bytes))) this.repairs += 1
    const versions = this.cache.get(number)
    if (versions === undefined) this.cache.set(number, [bytes])
    else versions.push(bytes)
  }

  flush(): void {
    for (const [number, versions] of this.cache) this.durable.set(number, versions.at(-1)!)
    this.cache.clear()
  }

  /** Power is lost: each unflushed block has one of its contents since the flush, or two of them torn. */
  losePower(random: Random, mood = random.below(4)): void {
    for (const [number, versions] of this.cache) {
      if (mood === 0 || (mood > 1 && random.chance(0.35))) continue
      const before = this.durable.get(number) ?? ZEROES
      const after = mood === 1 ? versions.at(-1)! : random.pick(versions)
      this.durable.set(number, mood > 1 && random.chance(0.4) ? torn(before, after, random) : after)
    }
    this.cache.clear()
  }

  /** After a flush that failed nobody knows what is there: any of what was to be flushed may be gone. */
  failFlush(random: Random): void {
    for (const number of this.cache.keys()) if (random.chance(0.5)) this.cache.delete(number)
  }

  heal(): void {
    this.faults = peace()
    this.#unreadable.clear()
  }

  /** Whether this block cannot be read while the fault lasts. */
  isUnreadable(number: number, random: Random): boolean {
    if (this.faults.read === 0) return false
    let bad = this.#unreadable.get(number)
    if (bad === undefined) {
      bad = random.chance(this.faults.read)
      this.#unreadable.set(number, bad)
    }
    if (!bad) return false
    // each time: something else may have been written to it since
    this.doubt(number)
    this.everBad.add(number)
    return true
  }

  /** What this block holds could not be had for a while. */
  doubt(number: number): void {
    const bytes = this.block(number)
    const checksum = crc32c(bytes)
    this.doubtfulContents.add(checksum)
    if (stampOf(bytes) === undefined) this.doubtfulMetadata.add(checksum)
  }

  /** The content of this block is lost for good; nobody notices before it is read. */
  damage(number: number, instead: Uint8Array): void {
    this.lostContents.add(crc32c(this.block(number)))
    this.put(number, instead)
    this.rotten.add(number)
    this.everBad.add(number)
  }

  /** Another disk, a blank one, comes in its place. What this one has cost is not forgotten. */
  replaced(): Platter {
    const blank = new Platter(this.byteLength)
    const facts = ['lostContents', 'doubtfulContents', 'doubtfulMetadata', 'everBad'] as const
    for (const fact of facts) for (const one of this[fact]) blank[fact].add(one)
    blank.losesAnything = this.losesAnything
    blank.repairs = this.repairs
    // who has it open finds it gone, whatever is healed
    this.#isDetached = true
    this.heal()
    return blank
  }

  /** What somebody would copy off it now, or, with `random`, after a loss of power at this moment. */
  copy(random?: Random): Platter {
    const copied = new Platter(this.byteLength)
    for (const [number, bytes] of this.durable) copied.durable.set(number, bytes)
    for (const [number, versions] of this.cache) copied.cache.set(number, [...versions])
    for (const number of this.rotten) copied.rotten.add(number)
    if (random === undefined) copied.flush()
    else copied.losePower(random)
    return copied
  }
}

/** Sectors in any order: each is the new one or the old one. */
function torn(before: Uint8Array, after: Uint8Array, random: Random): Uint8Array {
  const mixed = before.slice()
  for (let from = 0; from < BLOCK_SIZE; from += SECTOR) {
    if (random.chance(0.5)) mixed.set(after.subarray(from, from + SECTOR), from)
  }
  return mixed
}

/** Each sector that clients of a world write begins with this, so that data can be told from metadata. */
export const STAMP = 0x504c5853

/** The number in the first stamp of a block; undefined: the block is no data of a client. */
export function stampOf(block: Uint8Array): number | undefined {
  const view = new DataView(block.buffer, block.byteOffset, BLOCK_SIZE)
  for (let from = 0; from < BLOCK_SIZE; from += SECTOR) {
    if (view.getUint32(from, true) === STAMP) return view.getUint32(from + 4, true)
  }
  return undefined
}
