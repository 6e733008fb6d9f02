import { BLOCK_SIZE } from '../../../ts/base/units.ts'

const ZEROES = new Uint8Array(BLOCK_SIZE)

/** Of a volume that `resize` made large, the blocks that sequences touch; others are compared as a whole. */
const TOUCHED: readonly (readonly [number, number])[] = [
  [0, 24],
  [256, 260],
]
const RESIZED_MAX_BLOCKS = 260

export interface ModelVolume {
  readonly volume: number
  readonly size: number
  readonly blocks: ReadonlyMap<number, Uint8Array>
}

/** What clients were told, after each change: never altered in place. */
export type Model = ReadonlyMap<string, ModelVolume>

export function* comparedBlocks(size: number): Generator<[first: number, end: number]> {
  const blockCount = size / BLOCK_SIZE
  if (blockCount > RESIZED_MAX_BLOCKS) return yield [0, blockCount]
  for (const [first, end] of TOUCHED) {
    const limit = Math.min(end, blockCount)
    if (first < limit) yield [first, limit]
  }
}

export const blockOf = (volume: ModelVolume, block: number): Uint8Array => volume.blocks.get(block) ?? ZEROES

/** Bytes that tell when and where they were written. */
export function content(version: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i += 1) bytes[i] = 1 + ((version * 37 + Math.floor((offset + i) / 512)) % 255)
  return bytes
}

export function written(model: Model, name: string, offset: number, data: Uint8Array): Model {
  const volume = model.get(name)!
  const blocks = new Map(volume.blocks)
  for (let done = 0; done < data.length; ) {
    const block = Math.floor((offset + done) / BLOCK_SIZE)
    const inBlock = (offset + done) % BLOCK_SIZE
    const part = data.subarray(done, done + BLOCK_SIZE - inBlock)
    const changed = blockOf(volume, block).slice()
    changed.set(part, inBlock)
    blocks.set(block, changed)
    done += part.length
  }
  return new Map(model).set(name, { ...volume, blocks })
}

export function resized(model: Model, name: string, size: number): Model {
  const volume = model.get(name)!
  const blocks = new Map([...volume.blocks].filter(([block]) => block < size / BLOCK_SIZE))
  return new Map(model).set(name, { ...volume, size, blocks })
}

/** What was found, as far as it is compared: the blocks of each volume by its name. */
export interface Found {
  readonly name: string
  readonly size: number
  readonly blocks: ReadonlyMap<number, Uint8Array>
}

/**
 * What contradicts one moment of the model. `next` is the moment after it, when a request of several log
 * entries leads there: its blocks may then be mixed.
 */
export function contradiction(found: readonly Found[], model: Model, next?: Model): string | undefined {
  if (found.length !== model.size) return `${found.length} volumes, ${model.size} were there`
  for (const { name, size, blocks } of found) {
    const volume = model.get(name)
    if (volume === undefined) return `a volume ${name} that was not there`
    if (volume.size !== size) return `volume ${name} has ${size} bytes, ${volume.size} were promised`
    for (const [block, bytes] of blocks) {
      if (same(bytes, blockOf(volume, block))) continue
      const later = next?.get(name)
      if (later !== undefined && same(bytes, blockOf(later, block))) continue
      return `block ${block} of ${name} has ${describe(bytes)}, not ${describe(blockOf(volume, block))}`
    }
  }
  return undefined
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

const describe = (bytes: Uint8Array): string =>
  Array.from({ length: 8 }, (_, sector) => bytes[sector * 512]).join(' ')
