import { StoreError } from '../../../ts/base/errors.ts'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { readSuperblocks, type SuperblockValues } from '../../../ts/disk/superblock.ts'
import { Returning, type ReturningParts } from '../../../ts/engine/returning.ts'
import type { Branch } from '../../../ts/format/owner-record.ts'
import type { Copy } from '../../../ts/plex/copies.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, settings } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'
import {
  differingBlocks,
  labelPlexOf,
  makePlexes,
  openDisksOf,
  openMirror,
} from '../../support/mirror-world.ts'

const DISK_BYTES = 16 * MIB

export const copiesOf = (disks: readonly MemoryDisk[]): MemoryDisk[] => disks.map((disk) => disk.copy())

/** An owner of two plexes, as far as a plex that comes back needs one. */
export class Owner {
  readonly world = new MemoryWorld()
  readonly plexes: [MemoryDisk[], MemoryDisk[]]
  readonly image: Image
  readonly log: ChangeLog
  readonly model = new ImageModel()
  readonly returning: Returning
  readonly consistency = {
    isRunning: false,
    forced: '',
    force(why: string): void {
      this.forced = why
    },
  }
  readonly vault = { refreshed: 0, answer: 0 }
  /** what was true of plex 1 when its vault was refreshed */
  stateAtRefresh = ''
  isStale = true
  /** what the record says of a branch that was given up */
  branch: Branch | undefined
  isOwner = true
  isGone = false
  opened = 0
  /** a consistency point that the test has begun */
  running: Procedure<unknown> | undefined
  readonly #random = new SeededRandom(5)

  constructor(diskCount = 1) {
    this.plexes = makePlexes(this.world, Array<number>(diskCount).fill(DISK_BYTES))
    this.image = openMirror(this.world, this.plexes)
    this.image.copies.isRecordedStale = (plex) => plex === 1 && this.isStale
    this.log = new ChangeLog(this.world, this.image)
    this.change(1)
    this.fill(600, 1001)
    this.returning = new Returning(this.#parts())
  }

  #parts(): ReturningParts {
    const vault = { refresh: () => this.#refresh() }
    const open = (path: string): MemoryDisk => {
      if (this.isGone) throw new StoreError('DISK_MISSING', `${path} is not there`)
      this.opened += 1
      const disk = this.plexes[1].find((each) => each.path === path)!
      disk.closed = false
      return disk
    }
    const parts = {
      world: { ...this.world, memory: this.world.memory, disks: { open } },
      image: this.image,
      consistency: this.consistency,
      vault,
      plexes: this.plexes.map((disks) => disks.map(({ path }) => path)),
      whose: settings,
      remoteDisks: () => [],
      clients: { waits: [], hasPending: () => false, isHeldUp: () => false },
      newestBranch: () => this.branch,
      stillOwner: () => this.isOwner,
    }
    return parts as unknown as ReturningParts
  }

  *#refresh(): Procedure<number> {
    this.stateAtRefresh = `${this.copy.state}, ${this.copy.isWhole ? 'whole' : 'not whole'}`
    yield 'wait'
    this.vault.refreshed += 1
    return this.vault.answer
  }

  get copy(): Copy {
    return this.image.copies.all[1]!
  }

  get mirror(): MemoryDisk {
    return this.plexes[1][0]!
  }

  change(steps: number): void {
    for (let step = 0; step < steps; step += 1) this.model.step(this.#random, this.log, 1000)
    this.log.commit()
  }

  /** One more generation, with so many blocks of each volume written. */
  fill(count: number, version: number): void {
    for (const [volume, { size, versions }] of this.model.volumes) {
      for (let block = 0; block < Math.min(count, size / BLOCK_SIZE); block += 1)
        if (this.log.write(volume, block, version)) versions.set(block, version)
    }
    this.log.commit()
  }

  lose(generations = 3): void {
    this.image.copies.failed(this.copy, 'its cable is gone')
    for (let generation = 0; generation < generations; generation += 1) this.change(10)
  }

  /** Blank disks in the place of those of plex 1. */
  replace(): void {
    const blank = this.plexes[1].map(({ path }) => this.world.disk(path, DISK_BYTES))
    labelPlexOf(this.world, 1, blank)
    this.plexes[1].splice(0, blank.length, ...blank)
  }

  /** Turns of the engine, until the condition holds or too many have passed; returns whether it does. */
  turnUntil(condition: () => boolean, turns = 3000): boolean {
    for (let turn = 0; turn < turns && !condition(); turn += 1) {
      this.#stepPoint()
      this.returning.step(this.world.clock.now())
      if (this.consistency.forced !== '' && !this.consistency.isRunning) {
        this.consistency.forced = ''
        this.change(3)
      }
      this.image.cache.submit()
      this.image.copies.step()
      this.world.turn()
    }
    return condition()
  }

  #stepPoint(): void {
    if (this.running === undefined) return
    this.consistency.isRunning = this.running.next().done !== true
    if (!this.consistency.isRunning) this.running = undefined
  }

  returns(): boolean {
    return this.turnUntil(() => this.copy.state === 'in-sync')
  }

  /** The newest superblock on the disk of plex 1. */
  get superblock(): SuperblockValues | undefined {
    const opened = openDisksOf(this.world, 1, copiesOf(this.plexes[1]))
    return this.world.run(readSuperblocks(opened, 1000, this.world.memory)).newestOf[0]
  }

  get kinds(): string[] {
    return this.world.events.map(({ kind }) => kind)
  }

  differing(): number[] {
    return differingBlocks(this.world, this.image, this.plexes)
  }
}
