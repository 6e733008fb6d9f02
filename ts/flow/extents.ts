import type { DirtyIndex } from '../log/dirty-index.ts'
import { NOT_DIRTY, ZERO_BLOCK } from '../log/dirty-index.ts'
import { FAILED, HOLE, MAPPED, WAIT } from '../volume/answers.ts'
import type { Waiter } from '../volume/cache.ts'
import type { Aggregate } from './aggregate.ts'

/** Extents in one answer; whoever wants more asks again from their end on. */
export const EXTENTS_MAX = 4096
/** Steps of one search before others get a turn: a fraction of a millisecond. */
const STEPS_PER_TURN = 2048
/** Places of an index that are gone through in a turn. */
const PLACES_PER_TURN = 32768
/** Pointers to data that are looked at for one answer, in pointer blocks of 256: about 4 GiB of a volume. */
const POINTER_BLOCKS_MAX = 4096
/** So many blocks are asked for one by one before an index is gone through as a whole. */
const BLOCKS_ONE_BY_ONE_MIN = 1024

/** What a step of the search came to, besides WAIT and FAILED. */
export const COLLECTED = 1
export const AGAIN = 2

/** One of the indexes over the tree, as it is asked for a whole range: its blocks in order. */
class Layer {
  readonly index: DirtyIndex
  /** as `DirtyIndex.collect` has them */
  blocks = new Float64Array(0)
  cursor = 0
  #found: number[] = []
  #scanned = 0
  #placeCount = 0

  constructor(index: DirtyIndex) {
    this.index = index
  }

  /** Goes through a part of the index. True: `blocks` is complete. */
  scan(volume: number, first: number, end: number): boolean {
    const { index } = this
    if (this.#placeCount !== index.placeCount) {
      this.#found = []
      this.#scanned = 0
      this.#placeCount = index.placeCount
    }
    const to = Math.min(this.#scanned + PLACES_PER_TURN, this.#placeCount)
    index.collect(volume, first, end, this.#scanned, to, this.#found)
    this.#scanned = to
    if (to < this.#placeCount) return false
    this.blocks = Float64Array.from(this.#found).sort()
    this.#found = []
    return true
  }
}

/**
 * Finds out which blocks of a volume hold data and which read as zeroes, without reading any data: in the
 * indexes of the log, newest first, and below them in the pointer blocks of the tree.
 *
 * It takes several turns, and changes go on meanwhile. What it says of a block was so at some moment since
 * it began: it looks into the indexes that there were then, and into the tree as it is.
 */
export class ExtentSearch {
  /** ends of the extents, as numbers of blocks, and whether each holds data */
  readonly ends: number[] = []
  readonly isData: boolean[] = []
  /** changes may have been seen that are not acknowledged yet */
  sawLog = false
  readonly #aggregate: Aggregate
  #layers: Layer[] = []
  #volume = 0
  #at = 0
  #end = 0
  #onlyOne = false
  /** from here on the layers are gone through as a whole */
  #oneByOneEnd = 0
  #layersScanned = 0
  #pointerBlocks = 0
  #runEnd = 0

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate
  }

  /** About blocks [first, end). `onlyOne`: the first extent is all that is wanted. */
  begin(volume: number, first: number, end: number, onlyOne: boolean): void {
    const { active, frozen } = this.#aggregate
    this.#layers = [active, frozen].filter((index) => index !== undefined && !index.isEmpty).map(layerOf)
    this.sawLog = this.#layers.length > 0
    this.ends.length = 0
    this.isData.length = 0
    this.#volume = volume
    this.#at = first
    this.#end = end
    this.#onlyOne = onlyOne
    const places = this.#layers.reduce((count, { index }) => count + index.placeCount, 0)
    this.#oneByOneEnd = places === 0 ? first : first + Math.max(BLOCKS_ONE_BY_ONE_MIN, places >>> 3)
    this.#layersScanned = 0
    this.#pointerBlocks = 0
  }

  /** Goes on for a turn: COLLECTED, AGAIN, or WAIT or FAILED of a pointer block. */
  step(waiter: Waiter): number {
    for (let steps = 0; steps < STEPS_PER_TURN; steps += 1) {
      if (this.#at >= this.#end || this.#pointerBlocks >= POINTER_BLOCKS_MAX) return COLLECTED
      if (this.#at >= this.#oneByOneEnd && this.#layersScanned < this.#layers.length) {
        this.#scan()
        return AGAIN
      }
      const found = this.#look(waiter)
      if (found === WAIT || found === FAILED) return found
      if (!this.#add(found === MAPPED)) return COLLECTED
    }
    return AGAIN
  }

  /** Lets go of what it has looked into. */
  end(): void {
    this.#layers = []
    this.ends.length = 0
    this.isData.length = 0
  }

  #scan(): void {
    if (this.#layers[this.#layersScanned]!.scan(this.#volume, this.#at, this.#end)) this.#layersScanned += 1
  }

  /** What the block at hand is: MAPPED or HOLE, and the same up to `#runEnd`; or WAIT or FAILED. */
  #look(waiter: Waiter): number {
    const isOneByOne = this.#at < this.#oneByOneEnd
    this.#runEnd = isOneByOne ? this.#at + 1 : this.#end
    for (const layer of this.#layers) {
      const found = isOneByOne ? this.#lookUp(layer.index) : this.#lookAlong(layer)
      if (found !== NOT_DIRTY) return found
    }
    return this.#lookBelow(waiter)
  }

  #lookUp(index: DirtyIndex): number {
    const page = index.lookup(this.#volume, this.#at)
    if (page === NOT_DIRTY) return NOT_DIRTY
    return page === ZERO_BLOCK ? HOLE : MAPPED
  }

  #lookAlong(layer: Layer): number {
    const { blocks } = layer
    while (layer.cursor < blocks.length && blocks[layer.cursor]! < this.#at * 2) layer.cursor += 1
    const entry = layer.cursor < blocks.length ? blocks[layer.cursor]! : Number.POSITIVE_INFINITY
    if (entry < this.#at * 2 + 2) {
      this.#runEnd = this.#at + 1
      return entry % 2 === 1 ? HOLE : MAPPED
    }
    this.#runEnd = Math.min(this.#runEnd, Math.floor(entry / 2))
    const ranges = layer.index.rangesIn(this.#volume)
    if (ranges === undefined || !ranges.find(this.#at)) return NOT_DIRTY
    const isCovered = ranges.foundFirst <= this.#at
    this.#runEnd = Math.min(this.#runEnd, isCovered ? ranges.foundEnd : ranges.foundFirst)
    return isCovered ? HOLE : NOT_DIRTY
  }

  #lookBelow(waiter: Waiter): number {
    const { directory, tree } = this.#aggregate.image
    const volume = directory.get(this.#volume)
    if (volume === undefined) return FAILED
    const found = tree.probe(volume.root, volume.height, this.#at, waiter)
    if (found === MAPPED) this.#pointerBlocks += this.#at < this.#oneByOneEnd ? 1 / 256 : 1
    if (found >= HOLE) this.#runEnd = Math.min(this.#runEnd, tree.runEnd)
    return found
  }

  /** Adds the run at hand. False: the answer is full. */
  #add(isData: boolean): boolean {
    const last = this.ends.length - 1
    if (last >= 0 && this.isData[last] === isData) this.ends[last] = this.#runEnd
    else {
      if (this.ends.length === (this.#onlyOne ? 1 : EXTENTS_MAX)) return false
      this.ends.push(this.#runEnd)
      this.isData.push(isData)
    }
    this.#at = this.#runEnd
    return true
  }
}

function layerOf(index: DirtyIndex | undefined): Layer {
  return new Layer(index!)
}
