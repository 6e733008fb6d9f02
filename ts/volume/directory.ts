import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { FLAGS, heightFor, POINTER_WORDS } from '../format/block-pointer.ts'
import {
  VOLUME_BYTES_MAX,
  VOLUME_BYTES_MULTIPLE,
  VOLUME_NAME_BYTES_MAX,
  VOLUME_RECORDS_PER_BLOCK,
  VOLUMES_MAX,
} from '../format/volume-record.ts'
import type { Space } from './space.ts'

/** A volume as clients see it now, and its tree as the newest superblock has it. */
export interface Volume {
  readonly volume: number
  /** record number within the directory, for life */
  readonly place: number
  name: string
  size: number
  readonly identity: Uint8Array
  /** generation of its first consistency point; 0 before that */
  createdIn: number
  root: Uint32Array
  height: number
  mappedBlocks: number
  /** the height that its size needs; the tree grows to it in the next consistency point */
  heightNeeded: number
}

/** A volume at the moment of the freeze. */
export interface FrozenVolume extends Readonly<Volume> {
  /** blocks from here on were cut off since the last freeze */
  readonly cutBlock: number
}

/** The directory as one consistency point writes it. */
export interface FrozenDirectory {
  readonly nextVolume: number
  /** ascending by number */
  readonly volumes: readonly FrozenVolume[]
  /** trees of volumes that were deleted */
  readonly removed: readonly { readonly root: Uint32Array; readonly height: number }[]
  /** records that have changed, whatever the consistency point does to trees */
  readonly changedPlaces: ReadonlySet<number>
}

/** What a consistency point has made of a volume. */
export interface PublishedTree {
  readonly root: Uint32Array
  readonly height: number
  readonly mappedBlocks: number
  readonly createdIn: number
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const NO_CUT = Number.POSITIVE_INFINITY

/**
 * The volumes of an aggregate. Operations are applied when their entry is logged and again, the
 * same, on replay; whether they are allowed was settled before by the `mistakeIn...` checks.
 */
export class VolumeDirectory {
  nextVolume = 1
  readonly #byNumber = new Map<number, Volume>()
  readonly #byName = new Map<string, Volume>()
  readonly #places: (Volume | undefined)[] = []
  readonly #space: Space
  #removed: Volume[] = []
  #changedPlaces = new Set<number>()
  #cuts = new Map<number, number>()

  constructor(space: Space) {
    this.#space = space
    this.#updateOverhead()
  }

  get(volume: number): Volume | undefined {
    return this.#byNumber.get(volume)
  }

  find(name: string): Volume | undefined {
    return this.#byName.get(name)
  }

  /** All volumes, by name. */
  list(): Volume[] {
    return [...this.#byNumber.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  mistakeInCreate(name: string, size: number): StoreError | undefined {
    const mistake = this.#mistakeInNewName(name) ?? mistakeInSize(name, size)
    if (mistake !== undefined || this.#byNumber.size < VOLUMES_MAX) return mistake
    return new StoreError('VOLUME_LIMIT', `an aggregate holds ${VOLUMES_MAX} volumes; delete one first`)
  }

  mistakeInRename(name: string, newName: string): StoreError | undefined {
    return name === newName ? undefined : this.#mistakeInNewName(newName)
  }

  mistakeInResize(name: string, size: number): StoreError | undefined {
    return mistakeInSize(name, size)
  }

  create(volume: number, name: string, size: number, identity: Uint8Array): Volume {
    assert(volume === this.nextVolume, 'volumes are numbered in the order of the log')
    assert(!this.#byName.has(name), 'a name is used once')
    this.nextVolume += 1
    const free = this.#places.indexOf(undefined)
    const place = free < 0 ? this.#places.length : free
    const created: Volume = {
      volume,
      place,
      name,
      size,
      identity,
      createdIn: 0,
      root: new Uint32Array(POINTER_WORDS),
      height: heightFor(size / BLOCK_SIZE),
      mappedBlocks: 0,
      heightNeeded: heightFor(size / BLOCK_SIZE),
    }
    this.#enter(created)
    this.#changedPlaces.add(place)
    this.#updateOverhead()
    return created
  }

  remove(volume: number): void {
    const removed = this.#existing(volume)
    this.#byNumber.delete(volume)
    this.#byName.delete(removed.name)
    this.#places[removed.place] = undefined
    this.#changedPlaces.add(removed.place)
    this.#cuts.delete(volume)
    this.#removed.push(removed)
  }

  rename(volume: number, name: string): void {
    const renamed = this.#existing(volume)
    const other = this.#byName.get(name)
    assert(other === undefined || other === renamed, 'a name is used once')
    this.#byName.delete(renamed.name)
    renamed.name = name
    this.#byName.set(name, renamed)
    this.#changedPlaces.add(renamed.place)
  }

  resize(volume: number, size: number): void {
    const resized = this.#existing(volume)
    if (size < resized.size) {
      this.#cuts.set(volume, Math.min(this.#cuts.get(volume) ?? NO_CUT, size / BLOCK_SIZE))
    }
    resized.size = size
    resized.heightNeeded = Math.max(resized.heightNeeded, heightFor(size / BLOCK_SIZE))
    this.#changedPlaces.add(resized.place)
  }

  /** A volume that was read from the disk. */
  load(volume: Volume): void {
    assert(this.#byNumber.get(volume.volume) === undefined, 'a volume is loaded once')
    this.#enter(volume)
    this.#updateOverhead()
  }

  isPlaceFree(place: number): boolean {
    return this.#places[place] === undefined
  }

  /**
   * What the next consistency point writes; later changes do not show in it. Each freeze is
   * published before the next one; a consistency point that failed runs again with the same one.
   */
  freeze(): FrozenDirectory {
    const volumes = [...this.#byNumber.values()]
      .sort((a, b) => a.volume - b.volume)
      .map((volume) => ({ ...volume, cutBlock: this.#cuts.get(volume.volume) ?? NO_CUT }))
    const removed = this.#removed.filter(({ root }) => root[FLAGS] !== 0)
    const frozen: FrozenDirectory = {
      nextVolume: this.nextVolume,
      volumes,
      removed: removed.map(({ root, height }) => ({ root, height })),
      changedPlaces: this.#changedPlaces,
    }
    this.#removed = []
    this.#changedPlaces = new Set()
    this.#cuts = new Map()
    this.#space.freeze()
    return frozen
  }

  /** The consistency point is on disk: from here on volumes are read through their new trees. */
  publish(trees: ReadonlyMap<number, PublishedTree>): void {
    for (const [number, tree] of trees) {
      const volume = this.#byNumber.get(number) ?? this.#removed.find((each) => each.volume === number)
      if (volume !== undefined) Object.assign(volume, tree)
    }
  }

  #enter(volume: Volume): void {
    while (this.#places.length <= volume.place) this.#places.push(undefined)
    assert(this.#places[volume.place] === undefined, 'a place holds one record')
    this.#places[volume.place] = volume
    this.#byNumber.set(volume.volume, volume)
    this.#byName.set(volume.name, volume)
  }

  #existing(volume: number): Volume {
    const found = this.#byNumber.get(volume)
    assert(found !== undefined, `volume ${volume} exists`)
    return found
  }

  /** All directory blocks, the pointer block above them, and those of a directory that grows. */
  #updateOverhead(): void {
    this.#space.reservations.overhead = Math.ceil(this.#places.length / VOLUME_RECORDS_PER_BLOCK) + 2
  }

  #mistakeInNewName(name: string): StoreError | undefined {
    const byteLength = new TextEncoder().encode(name).length
    if (byteLength > VOLUME_NAME_BYTES_MAX || !NAME.test(name)) {
      const rule = 'letters, digits, dots, dashes and underscores, and begins with a letter or digit'
      const text = `'${name}' is no name for a volume: it has up to ${VOLUME_NAME_BYTES_MAX} ${rule}`
      return new StoreError('VOLUME_INVALID', text)
    }
    if (!this.#byName.has(name)) return undefined
    return new StoreError('VOLUME_EXISTS', `a volume '${name}' exists; choose another name`)
  }
}

function mistakeInSize(name: string, size: number): StoreError | undefined {
  const isAllowed = Number.isSafeInteger(size) && size > 0 && size % VOLUME_BYTES_MULTIPLE === 0
  if (isAllowed && size <= VOLUME_BYTES_MAX) return undefined
  const rule = `a multiple of ${VOLUME_BYTES_MULTIPLE} bytes, up to ${VOLUME_BYTES_MAX}`
  return new StoreError('VOLUME_INVALID', `volume '${name}' cannot have ${size} bytes; its size is ${rule}`)
}
