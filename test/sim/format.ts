import type { Gather } from '../../ts/base/gather.ts'
import type { Procedure } from '../../ts/base/procedure.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { labelDisk } from '../../ts/disk/label.ts'
import { identityFromText } from '../../ts/format/identity.ts'
import { logLayout, vaultByteLengthOf } from '../../ts/format/log-ring.ts'
import type { Completion } from '../../ts/ports/completion.ts'
import type { Disk } from '../../ts/ports/disk.ts'
import { Image } from '../../ts/volume/image.ts'
import type { SimMemory } from './memory.ts'
import type { Platter } from './platter.ts'
import type { AggregateWorld, SimWorld } from './world.ts'

/** A disk that answers in the next step of the procedure: for labelling and checking, outside of time. */
export class PromptDisk implements Disk {
  readonly path: string
  readonly byteLength: number
  readonly #platter: Platter
  readonly #memory: SimMemory
  readonly #due: (() => void)[] = []

  constructor(platter: Platter, memory: SimMemory, path = 'disk0') {
    this.#platter = platter
    this.#memory = memory
    this.path = path
    this.byteLength = platter.byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    const { byteLength } = into
    const blocks: Uint8Array[] = []
    for (let offset = 0; offset < byteLength; offset += BLOCK_SIZE) {
      blocks.push(this.#platter.block((at + offset) / BLOCK_SIZE))
    }
    this.#memory.scatter(blocks, into)
    this.#due.push(() => done.complete(byteLength))
  }

  write(at: number, from: Gather, done: Completion): void {
    const bytes = this.#memory.gathered(from)
    for (let offset = 0; offset < bytes.length; offset += BLOCK_SIZE) {
      this.#platter.put((at + offset) / BLOCK_SIZE, bytes.subarray(offset, offset + BLOCK_SIZE))
    }
    this.#due.push(() => done.complete(bytes.length))
  }

  flush(done: Completion): void {
    this.#platter.flush()
    this.#due.push(() => done.complete(0))
  }

  close(): void {}

  settle(): void {
    for (const run of this.#due.splice(0)) run()
  }
}

/** Runs a procedure to its end on prompt disks. */
export function drive<T>(procedure: Procedure<T>, disks: readonly PromptDisk[]): T {
  for (;;) {
    const { done, value } = procedure.next()
    if (done) return value
    for (const disk of disks) disk.settle()
  }
}

/** Labels the shared disks of an aggregate and writes an empty image. */
export function formatDisk(world: SimWorld, aggregate: AggregateWorld = world.aggregates[0]!): void {
  const disks = aggregate.disks.map((_, plex) => {
    const identity = new Uint8Array(16).fill(7 + aggregate.place + 16 * plex)
    return labelPlex(world, aggregate, plex, identity)
  })
  const whose = { pair: world.identity('pair'), aggregate: world.identity(aggregate.name) }
  const host = { event: () => {}, serving: () => {}, answer: () => {}, wantLink: () => {} }
  const parts = { memory: world.memory, clock: { now: () => 0, wall: () => 0 }, host }
  const plexes = disks.map((disk) => [disk])
  drive(Image.format(parts, plexes, whose), disks)
}

/** Labels the disk of one plex, as `pollux disk label --plex N` does; `force`: what is on it is given up. */
export function labelPlex(
  world: SimWorld,
  aggregate: AggregateWorld,
  plex: number,
  identity: Uint8Array,
  force = false,
): PromptDisk {
  return labelAs(world, aggregate, plex, identity, {
    path: aggregate.disks[plex]!,
    diskIndex: 0,
    diskCount: 1,
    force,
  })
}

interface DiskPlace {
  readonly path: string
  readonly diskIndex: number
  readonly diskCount: number
  readonly force?: boolean
}

/** Labels any disk of a plex. */
export function labelAs(
  world: SimWorld,
  aggregate: AggregateWorld,
  plex: number,
  identity: Uint8Array,
  { path, diskIndex, diskCount, force = false }: DiskPlace,
): PromptDisk {
  const disk = new PromptDisk(world.platter(path), world.memory, path)
  const facts = {
    pair: identityFromText(world.identity('pair'))!,
    aggregate: identityFromText(world.identity(aggregate.name))!,
    disk: identity,
    aggregateName: aggregate.name,
    plex,
    diskIndex,
    diskCount,
    vaultByteLength: vaultByteLengthOf(logLayout(world.options.logPages)),
    labelledAtMs: 0,
  }
  drive(labelDisk(disk, facts, { force }, world.memory), [disk])
  return disk
}
