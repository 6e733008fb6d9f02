import { assert } from '../../../ts/base/assert.ts'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { Command, CommandFlag } from '../../../ts/format/nbd.ts'
import { type Request, ScopeClient } from './client.ts'
import { content, type Model, resized, written } from './model.ts'
import type { ScopeWorld } from './world.ts'

export const operations = [
  'write',
  'overwrite',
  'trim',
  'zeroes',
  'flush',
  'create',
  'resize',
  'delete',
  'consistency point',
  'takeover',
  'giveback',
] as const
export type Operation = (typeof operations)[number]

/** Sizes that `resize` goes through: cut into what was written, grow by a level of the tree, and back. */
const SIZES = [3, 260, 24].map((blocks) => blocks * BLOCK_SIZE)
const FIRST_SIZE = 24 * BLOCK_SIZE

/** The moments of the model, and how far they are promised. */
export class History {
  readonly moments: Model[] = [new Map()]
  /** the last moment that was acknowledged, and the last one that no loss of memory may take */
  acknowledged = 0
  stable = 0

  get now(): Model {
    return this.moments.at(-1)!
  }

  /** A change is on its way: after a crash it may be there or not. */
  begin(model: Model): void {
    this.moments.push(model)
  }

  /** It was answered. */
  end(isStable: boolean): void {
    this.acknowledged = this.moments.length - 1
    if (isStable) this.stable = this.acknowledged
  }
}

/** Carries out operations on a world that serves, and keeps the books. */
export class Operator {
  readonly history = new History()
  /** runs at the very moment when a change is answered */
  onAnswer: () => void = () => {}
  readonly #world: ScopeWorld
  #version = 0
  #resizes = 0

  constructor(world: ScopeWorld) {
    this.#world = world
  }

  run(operation: Operation): void {
    switch (operation) {
      case 'create':
        return this.#create(FIRST_SIZE)
      case 'consistency point':
        return this.#request('cp-now', {}, true)
      case 'takeover':
        return this.#takeover()
      case 'giveback':
        return this.#giveback()
      case 'flush':
        return this.#flush()
      default:
        if (this.#target !== undefined) this.#change(operation, this.#target)
    }
  }

  /** Whole blocks of the newest volume, in one request for up to 64 of them. */
  writeBlocks(first: number, count: number): void {
    for (let done = 0; done < count; done += 64)
      this.#write(this.#target!, (first + done) * BLOCK_SIZE, Math.min(64, count - done) * BLOCK_SIZE, 0)
  }

  /** Trims whole blocks of the newest volume. */
  trimBlocks(first: number, count: number): void {
    this.#zero(Command.TRIM, this.#target!, first * BLOCK_SIZE, count * BLOCK_SIZE)
  }

  create(blockCount: number): void {
    this.#create(blockCount * BLOCK_SIZE)
  }

  /** The newest volume. */
  get #target(): string | undefined {
    return [...this.history.now.keys()].at(-1)
  }

  #change(operation: Exclude<Operation, 'flush' | 'create'>, name: string): void {
    const { size } = this.history.now.get(name)!
    switch (operation) {
      case 'write':
        return this.#write(name, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE, 0)
      case 'overwrite':
        return this.#write(name, BLOCK_SIZE + 1536, BLOCK_SIZE + 1024, CommandFlag.FUA)
      case 'trim':
        return this.#zero(Command.TRIM, name, BLOCK_SIZE, Math.min(17 * BLOCK_SIZE, size - BLOCK_SIZE))
      case 'zeroes':
        return this.#zero(Command.WRITE_ZEROES, name, 2560, Math.min(2 * BLOCK_SIZE, size - 2560))
      case 'resize':
        return this.#resize(name)
      default:
        return this.#delete(name)
    }
  }

  #write(name: string, offset: number, wanted: number, flags: number): void {
    const { size } = this.history.now.get(name)!
    const length = Math.min(wanted, size - offset)
    this.#version += 1
    const data = content(this.#version, offset, length)
    this.history.begin(written(this.history.now, name, offset, data))
    this.#ask(name, { command: Command.WRITE, flags, offset, length, data }, flags !== 0)
  }

  #zero(command: number, name: string, offset: number, length: number): void {
    this.history.begin(written(this.history.now, name, offset, new Uint8Array(length)))
    this.#ask(name, { command, flags: 0, offset, length }, false)
  }

  #flush(): void {
    const name = this.#target
    if (name !== undefined) this.#ask(name, { command: Command.FLUSH, flags: 0, offset: 0, length: 0 }, true)
  }

  #ask(name: string, request: Request, isStable: boolean): void {
    const client = new ScopeClient(this.#world, this.history.now.get(name)!.volume)
    const { error } = client.ask(request, () => this.#answered(isStable))
    assert(error === 0, `command ${request.command} is carried out (error ${error})`)
    client.close()
  }

  #answered(isStable: boolean): void {
    this.history.end(isStable)
    this.onAnswer()
  }

  #create(size: number): void {
    const now = this.history.now
    const volume = this.#world.owner!.engine!.owner!.aggregate.directory.nextVolume
    const name = `volume${volume}`
    this.history.begin(new Map(now).set(name, { volume, size, blocks: new Map() }))
    this.#request('volume-create', { name, size }, false)
  }

  #resize(name: string): void {
    const size = SIZES[this.#resizes % SIZES.length]!
    this.#resizes += 1
    this.history.begin(resized(this.history.now, name, size))
    this.#request('volume-resize', { name, size }, false)
  }

  #delete(name: string): void {
    const model = new Map(this.history.now)
    model.delete(name)
    this.history.begin(model)
    this.#request('volume-delete', { name }, false)
  }

  #request(name: string, body: unknown, isStable: boolean): void {
    const owner = this.#world.owner!
    owner.onAnswer = () => this.#answered(isStable)
    const request = owner.request(name, body)
    if (!this.#world.runUntil(() => owner.answers.has(request))) throw new Error(`no answer to ${name}`)
    owner.onAnswer = () => {}
    const { error } = owner.answers.get(request)!
    if (error !== undefined) throw error
  }

  /** The owner's process dies; its partner goes on, writes alone, and takes it back as keeper. */
  #takeover(): void {
    const dead = this.#world.owner!
    dead.kill()
    this.#mustCome(() => this.#world.owner !== undefined, 'the partner takes over')
    // what is acknowledged now, the dead node does not have
    if (this.#target !== undefined) this.#write(this.#target, 0, BLOCK_SIZE, CommandFlag.FUA)
    this.#world.start(dead)
    this.#mustCome(() => this.#world.isInSync, 'both come into sync after a takeover')
  }

  #giveback(): void {
    const giver = this.#world.owner!
    const receiver = this.#world.other(giver)
    // everything is on the disks before it is answered
    this.#request('handover', { dryRun: false }, true)
    this.#mustCome(
      () => receiver.serving.serves && this.#world.isInSync,
      'the partner serves after a giveback',
    )
  }

  #mustCome(condition: () => boolean, what: string): void {
    if (!this.#world.runUntil(condition)) throw new Error(`not so: ${what}\n${whoIsWhat(this.#world)}`)
  }
}

export function whoIsWhat(world: ScopeWorld): string {
  const nodes = world.nodes.map(
    ({ name, engine, serving }) => `${name} is ${engine?.ownership.state ?? 'dead'}: ${serving.because}`,
  )
  return `${nodes.join('; ')}; the record is ${JSON.stringify(world.record)}`
}
