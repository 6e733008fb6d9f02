import { assert } from '../base/assert.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { type MemoryPool, memoryPool } from '../disk/memory-pool.ts'
import type { SuperblockValues } from '../disk/superblock.ts'
import { Transfers } from '../disk/transfers.ts'
import { mapBlockAt, mapIndexBlockAt } from '../disk/zones.ts'
import { MAP_ENTRIES_PER_INDEX, mapBlocksFor, mapIndexBlocksFor } from '../format/free-map.ts'
import { MAP_INDEX_ENTRIES_MAX } from '../format/superblock.ts'
import type { Copy } from '../plex/copies.ts'
import type { Plex, PlexSegment } from '../plex/plex.ts'
import type { Memory, MemoryPort } from '../ports/memory.ts'
import { type FreeBits, REGION_SHIFT, REGION_WORDS } from './free-bits.ts'

const TRANSFERS = 32
const ENTRY_BYTES = 8
/** blocks of the map that `countDamaged` has in memory */
const VERIFIED_AT_ONCE = 64

/** The map blocks of one disk, in the block space and in the index. */
interface MapSegment {
  readonly segment: PlexSegment
  readonly firstRegion: number
  readonly regionCount: number
  readonly firstIndex: number
  readonly indexCount: number
}

/**
 * The free map on disk. Each map block and each index block has two places and is written to the
 * one that the newest superblock does not name, so writing the map allocates nothing.
 */
export class FreeMap {
  readonly indexCount: number
  readonly #segments: readonly MapSegment[]
  readonly #port: MemoryPort
  readonly #pool: MemoryPool
  /** index blocks as on disk, {CRC32C, side} per map block: of the newest generation and of the next */
  readonly #current: Memory
  readonly #next: Memory
  /** CRC32C and side of each index block, as in the superblock */
  #currentTop: Uint32Array
  #nextTop: Uint32Array
  /** on how many disks the map is; those behind them were added, and get theirs with the next generation */
  #mappedDisks: number
  #isTrusted = true
  /** what is being written is all of it */
  #isWritingAll = false

  constructor(plex: Plex, port: MemoryPort) {
    this.#port = port
    this.#pool = memoryPool(port)
    let firstIndex = 0
    this.#segments = plex.segments.map((segment) => {
      const { blockCount } = segment.labelled.zones
      const indexCount = mapIndexBlocksFor(blockCount)
      const firstRegion = segment.first >>> REGION_SHIFT
      const map = { segment, firstRegion, regionCount: mapBlocksFor(blockCount), firstIndex, indexCount }
      firstIndex += indexCount
      return map
    })
    this.indexCount = firstIndex
    this.#mappedDisks = this.#segments.length
    assert(firstIndex <= MAP_INDEX_ENTRIES_MAX, 'the index of the map fits into a superblock')
    this.#current = this.#pool.borrow(firstIndex * BLOCK_SIZE)
    this.#next = this.#pool.borrow(firstIndex * BLOCK_SIZE)
    this.#currentTop = new Uint32Array(MAP_INDEX_ENTRIES_MAX * 2)
    this.#nextTop = new Uint32Array(MAP_INDEX_ENTRIES_MAX * 2)
  }

  close(): void {
    this.#pool.giveBack(this.#current)
    this.#pool.giveBack(this.#next)
  }

  /** Reads the map of a superblock into `bits.current`. False: a part of it does not check. */
  *load(superblock: SuperblockValues, bits: FreeBits): Procedure<boolean> {
    this.#currentTop = topOf(superblock)
    this.#mappedDisks = this.#mappedBy(superblock)
    if (this.#mappedDisks === 0) return false
    const mapped = this.#segments.slice(0, this.#mappedDisks)
    if (!(yield* this.#readIndex(mapped, this.#currentTop, this.#current))) return false
    const { u32 } = this.#current
    yield* this.#readRegions(mapped, u32, () => true, bits.currentMemory)
    for (const map of mapped) {
      for (let local = 0; local < map.regionCount; local += 1) {
        const region = map.firstRegion + local
        const address = bits.currentMemory.address + region * BLOCK_SIZE
        const isGood = this.#port.checksum(address, BLOCK_SIZE) === u32[entryWord(map, local)]
        if (!isGood || !bits.regionIsPossible(region)) return false
      }
    }
    return true
  }

  /**
   * Holds what the generation before the newest reaches and the newest does not. False: a part of
   * its map has been overwritten since, and its trees have to be walked instead.
   */
  *loadPrevious(previous: SuperblockValues, bits: FreeBits): Procedure<boolean> {
    // what it does not reach yet, it does not hold
    const mapped = this.#segments.slice(0, this.#mappedBy(previous))
    if (mapped.length === 0 || mapped.length > this.#mappedDisks) return false
    const index = this.#pool.borrow(this.#current.byteLength)
    const regions = this.#pool.borrow(bits.regionCount * BLOCK_SIZE)
    const differs = (map: MapSegment, local: number): boolean => {
      const word = entryWord(map, local)
      return (
        index.u32[word] !== this.#current.u32[word] || index.u32[word + 1] !== this.#current.u32[word + 1]
      )
    }
    let isWhole = yield* this.#readIndex(mapped, topOf(previous), index)
    if (isWhole) {
      yield* this.#readRegions(mapped, index.u32, differs, regions)
      for (const map of mapped) {
        for (let local = 0; local < map.regionCount; local += 1) {
          if (!differs(map, local)) continue
          const region = map.firstRegion + local
          const checksum = this.#port.checksum(regions.address + region * BLOCK_SIZE, BLOCK_SIZE)
          if (checksum === index.u32[entryWord(map, local)]) holdRegion(bits, region, regions.u32)
          else isWhole = false
        }
      }
    }
    this.#pool.giveBack(index)
    this.#pool.giveBack(regions)
    return isWhole
  }

  /**
   * Reads from the disks of one plex what the newest superblock names of the map, a part at a time. Returns
   * what is not whole, in words; once another generation has been published, that says nothing.
   */
  *verify(copy: Copy): Procedure<string[]> {
    // what was read of it when the image was opened says nothing, and all of it will be written anew
    if (!this.#isTrusted) return []
    const [top, index] = [this.#currentTop, this.#pool.borrow(this.#current.byteLength)]
    index.bytes.set(this.#current.bytes)
    const scratch = this.#pool.borrow(VERIFIED_AT_ONCE * BLOCK_SIZE)
    const bad = { unread: 0, damaged: 0 }
    for (const map of this.#segments.slice(0, this.#mappedDisks)) {
      const { zones } = map.segment.labelled
      const indexParts = Array.from({ length: map.indexCount }, (_, at) => {
        const entry = (map.firstIndex + at) * 2
        return { at: mapIndexBlockAt(zones, top[entry + 1]! & 1, at), checksum: top[entry]! }
      })
      yield* this.#countBad(map, copy, indexParts, scratch, bad)
      for (let from = 0; from < map.regionCount; from += VERIFIED_AT_ONCE) {
        const count = Math.min(VERIFIED_AT_ONCE, map.regionCount - from)
        const parts = Array.from({ length: count }, (_, place) => {
          const word = entryWord(map, from + place)
          return { at: mapBlockAt(zones, index.u32[word + 1]! & 1, from + place), checksum: index.u32[word]! }
        })
        yield* this.#countBad(map, copy, parts, scratch, bad)
      }
    }
    this.#pool.giveBack(scratch)
    this.#pool.giveBack(index)
    const problems: string[] = []
    const where = `on plex ${copy.plex}`
    if (bad.damaged > 0) problems.push(`${bad.damaged} blocks of it do not check ${where}`)
    if (bad.unread > 0) problems.push(`${bad.unread} blocks of it cannot be read ${where}`)
    return problems
  }

  *#countBad(
    map: MapSegment,
    copy: Copy,
    parts: readonly { readonly at: number; readonly checksum: number }[],
    scratch: Memory,
    bad: { unread: number; damaged: number },
  ): Procedure {
    const { disk } = map.segment.labelled
    for (let from = 0; from < parts.length; from += VERIFIED_AT_ONCE) {
      const some = parts.slice(from, from + VERIFIED_AT_ONCE)
      const transfers = new Transfers(TRANSFERS)
      const unread = new Set<number>()
      for (const [place, { at }] of some.entries()) {
        yield* transfers.start(
          scratch.address + place * BLOCK_SIZE,
          BLOCK_SIZE,
          (gather, done) => disk.read(at, gather, done, copy),
          (result) => result < 0 && unread.add(place),
        )
      }
      yield* transfers.drain()
      const isDamaged = ({ checksum }: { readonly checksum: number }, place: number): boolean =>
        !unread.has(place) &&
        this.#port.checksum(scratch.address + place * BLOCK_SIZE, BLOCK_SIZE) !== checksum
      bad.unread += unread.size
      bad.damaged += some.filter(isDamaged).length
    }
  }

  /** The map was rebuilt from the trees: the next consistency point has to write all of it. */
  distrust(): void {
    this.#isTrusted = false
  }

  /** Starts the writes of the map of `bits.next`; the caller waits for them. Returns blocks written. */
  *write(bits: FreeBits, transfers: Transfers): Procedure<number> {
    this.#next.bytes.set(this.#current.bytes)
    this.#nextTop = this.#currentTop.slice()
    let written = 0
    this.#isWritingAll = !this.#isTrusted
    for (const [place, map] of this.#segments.entries()) {
      const isWhole = this.#isWritingAll || place >= this.#mappedDisks
      const indexChanged = new Uint8Array(map.indexCount)
      for (let local = 0; local < map.regionCount; local += 1) {
        const region = map.firstRegion + local
        if (!isWhole && bits.changed[region] === 0) continue
        yield* this.#writeRegion(map, local, bits, transfers)
        indexChanged[Math.floor(local / MAP_ENTRIES_PER_INDEX)] = 1
        written += 1
        if (written % 256 === 0) yield 'again'
      }
      for (let index = 0; index < map.indexCount; index += 1) {
        if (indexChanged[index] === 0) continue
        yield* this.#writeIndex(map, index, transfers)
        written += 1
      }
    }
    return written
  }

  /** What the superblock says of the map of the next generation. */
  superblockFields(): { mapIndexCount: number; mapIndex: Uint8Array } {
    return { mapIndexCount: this.indexCount, mapIndex: new Uint8Array(this.#nextTop.slice().buffer) }
  }

  publish(): void {
    this.#current.bytes.set(this.#next.bytes)
    this.#currentTop = this.#nextTop
    this.#mappedDisks = this.#segments.length
    if (this.#isWritingAll) this.#isTrusted = true
    this.#isWritingAll = false
  }

  /** The map of an empty aggregate, on side 0. */
  *format(transfers: Transfers): Procedure {
    const zeroes = this.#pool.borrow(256 * BLOCK_SIZE)
    const checksum = this.#port.checksum(zeroes.address, BLOCK_SIZE)
    for (const map of this.#segments) {
      const { disk, zones } = map.segment.labelled
      for (let local = 0; local < map.regionCount; ) {
        const count = Math.min(256, map.regionCount - local)
        const at = mapBlockAt(zones, 0, local)
        yield* transfers.start(zeroes.address, count * BLOCK_SIZE, (gather, done) =>
          disk.write(at, gather, done),
        )
        for (const end = local + count; local < end; local += 1)
          this.#next.u32[entryWord(map, local)] = checksum
      }
      for (let index = 0; index < map.indexCount; index += 1) {
        this.#nextTop[(map.firstIndex + index) * 2 + 1] = 1
        yield* this.#writeIndex(map, index, transfers)
      }
    }
    while (transfers.inFlight > 0) yield 'wait'
    this.#pool.giveBack(zeroes)
  }

  *#writeRegion(map: MapSegment, local: number, bits: FreeBits, transfers: Transfers): Procedure {
    const { disk, zones } = map.segment.labelled
    const word = entryWord(map, local)
    const side = 1 - (this.#next.u32[word + 1]! & 1)
    const address = bits.nextMemory.address + (map.firstRegion + local) * BLOCK_SIZE
    this.#next.u32[word] = this.#port.checksum(address, BLOCK_SIZE)
    this.#next.u32[word + 1] = side
    const at = mapBlockAt(zones, side, local)
    yield* transfers.start(address, BLOCK_SIZE, (gather, done) => disk.write(at, gather, done))
  }

  *#writeIndex(map: MapSegment, index: number, transfers: Transfers): Procedure {
    const { disk, zones } = map.segment.labelled
    const global = map.firstIndex + index
    const side = 1 - (this.#nextTop[global * 2 + 1]! & 1)
    const address = this.#next.address + global * BLOCK_SIZE
    this.#nextTop[global * 2] = this.#port.checksum(address, BLOCK_SIZE)
    this.#nextTop[global * 2 + 1] = side
    const at = mapIndexBlockAt(zones, side, index)
    yield* transfers.start(address, BLOCK_SIZE, (gather, done) => disk.write(at, gather, done))
  }

  /** How many disks the map of a superblock is on; 0: it is not the map of these disks. */
  #mappedBy({ blockCount, mapIndexCount }: SuperblockValues): number {
    const isLast = ({ segment, firstIndex, indexCount }: MapSegment): boolean =>
      segment.end === blockCount && firstIndex + indexCount === mapIndexCount
    return this.#segments.findIndex(isLast) + 1
  }

  *#readIndex(segments: readonly MapSegment[], top: Uint32Array, into: Memory): Procedure<boolean> {
    const transfers = new Transfers(TRANSFERS)
    const { firstIndex, indexCount } = segments.at(-1)!
    for (const map of segments) {
      const { disk, zones } = map.segment.labelled
      for (let index = 0; index < map.indexCount; index += 1) {
        const global = map.firstIndex + index
        const at = mapIndexBlockAt(zones, top[global * 2 + 1]! & 1, index)
        const address = into.address + global * BLOCK_SIZE
        yield* transfers.start(address, BLOCK_SIZE, (gather, done) => disk.read(at, gather, done))
      }
    }
    yield* transfers.drain()
    for (let global = 0; global < firstIndex + indexCount; global += 1) {
      const checksum = this.#port.checksum(into.address + global * BLOCK_SIZE, BLOCK_SIZE)
      if (checksum !== top[global * 2]) return false
    }
    return true
  }

  /** Reads map blocks, neighbours on the same side together. Whether they are good the caller sees. */
  *#readRegions(
    segments: readonly MapSegment[],
    index: Uint32Array,
    wanted: (map: MapSegment, local: number) => boolean,
    into: Memory,
  ): Procedure {
    const transfers = new Transfers(TRANSFERS)
    for (const map of segments) {
      const { disk, zones } = map.segment.labelled
      for (let local = 0; local < map.regionCount; ) {
        if (!wanted(map, local)) {
          local += 1
          continue
        }
        const side = index[entryWord(map, local) + 1]! & 1
        let end = local + 1
        const follows = (next: number): boolean =>
          next < map.regionCount && next - local < 256 && wanted(map, next)
        while (follows(end) && (index[entryWord(map, end) + 1]! & 1) === side) end += 1
        const at = mapBlockAt(zones, side, local)
        const address = into.address + (map.firstRegion + local) * BLOCK_SIZE
        const byteLength = (end - local) * BLOCK_SIZE
        yield* transfers.start(address, byteLength, (gather, done) => disk.read(at, gather, done))
        local = end
      }
    }
    yield* transfers.drain()
  }
}

/** Where the entry of a map block is, in words of the index blocks. */
function entryWord(map: MapSegment, local: number): number {
  return (map.firstIndex * MAP_ENTRIES_PER_INDEX + local) * (ENTRY_BYTES / 4)
}

function topOf(superblock: SuperblockValues): Uint32Array {
  return new Uint32Array(superblock.mapIndex.slice().buffer)
}

function holdRegion(bits: FreeBits, region: number, from: Uint32Array): void {
  const at = region * REGION_WORDS
  for (let word = at; word < at + REGION_WORDS; word += 1) {
    bits.before[word] = bits.before[word]! | from[word]!
  }
  bits.held[region] = 1
}
