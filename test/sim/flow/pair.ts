import { assert } from '../../../ts/base/assert.ts'
import type { EngineSettings } from '../../../ts/config/engine-settings.ts'
import { Owner } from '../../../ts/engine/owner.ts'
import { formatDisk } from '../format.ts'
import type { SimNode } from '../node.ts'
import { SimWorld } from '../world.ts'
import { ScriptedClient } from './scripted-client.ts'

type Settings = Omit<EngineSettings, 'boot'>

/** A pair in sync on one small disk, with a volume `v`: a stage for what clients do to it. */
export class Pair extends SimWorld {
  readonly #overrides: Partial<Settings>

  constructor(
    volumeByteLength: number,
    overrides: Partial<Settings> = {},
    diskByteLength = 24 << 20,
    seed = 3,
  ) {
    super(seed, { durability: 'pair', logPages: overrides.logPages ?? 256, diskByteLength })
    this.#overrides = overrides
    formatDisk(this)
    for (const node of this.nodes) this.start(node)
    this.must('be in sync', () => this.record?.log === 'in-sync' && this.owner !== undefined, 20_000)
    this.ask('volume-create', { name: 'v', size: volumeByteLength })
  }

  override settings(node: SimNode): Settings {
    return { ...super.settings(node), ...this.#overrides }
  }

  /** What only the node that serves has. */
  get serving(): Owner {
    const owner = this.owner?.engine?.owner
    assert(owner instanceof Owner, 'somebody serves')
    return owner
  }

  client(): ScriptedClient {
    return new ScriptedClient(this, this.owner!, 'v')
  }

  must(what: string, condition: () => boolean, withinMs = 5000): void {
    if (!this.runUntil(condition, withinMs)) throw new Error(`did not come to ${what} within ${withinMs} ms`)
  }

  ask(name: string, body: unknown): unknown {
    const node = this.owner!
    const request = node.request(name, body)
    this.must(`answer ${name}`, () => node.answers.has(request))
    const { result, error } = node.answers.get(request)!
    if (error !== undefined) throw error
    return result
  }

  /** The error that a client's request is answered with, 0 for none; undefined: it is not answered. */
  answer(client: ScriptedClient, cookie: number, withinMs = 5000): number | undefined {
    this.runUntil(() => client.answers.has(cookie), withinMs)
    return client.answers.get(cookie)
  }
}
