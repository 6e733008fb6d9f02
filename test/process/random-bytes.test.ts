import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Random } from '../sim/random.ts'
import { connect, type NbdClient, NbdDisconnected } from '../support/nbd-client.ts'
import { durabilities, type NodeName, Pair, partnerOf } from '../support/pair.ts'

const BYTE_LENGTH = 1024 * 1024
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const operations = process.env['POLLUX_LONG'] ? 20_000 : 2000
const kills = process.env['POLLUX_LONG'] ? 10 : 2

for (const durability of durabilities) {
  t.test(
    `one client changes any bytes at all, and reads them through takeovers (${durability})`,
    async (t) => {
      t.comment(`seed ${seed}`)
      const random = new Random(seed)
      const pair = await Pair.start(t, { durability, logSize: '8MiB' })
      const bytes = new RandomBytes(pair.uri('vol0'), random)
      for (let kill = 0; kill < kills; kill += 1) {
        const victim = await pair.serving('castor')
        const disturbance = disturb(pair, victim, random)
        t.same(
          await bytes.run(operations / kills, disturbance),
          [],
          `${bytes.count} operations, ${bytes.reconnects} new connections`,
        )
      }
      t.ok(bytes.reconnects >= kills, 'it was disturbed')
      const owner = await pair.serving('castor')
      await pair.control(owner).json('POST', '/cp', { action: 'now', aggregate: 'castor' })
      t.same(await bytes.compareAll(), [], 'and from the disks')
      await bytes.close()
    },
  )
}

/** The owner is killed, comes back, and gets its volumes again, all while the client goes on. */
async function disturb(pair: Pair, victim: NodeName, random: Random): Promise<void> {
  await sleep(random.between(100, 600))
  void pair
    .control(victim)
    .json('POST', '/cp', { action: 'now' })
    .catch(() => undefined)
  await pair.kill(victim)
  await pair.serving('castor', partnerOf(victim))
  await pair.up()
  await pair.inSync()
}

/**
 * Reads and changes of any bytes, one after the other, beside a copy in memory that they are compared with.
 * A request without an answer is sent again over a new connection: done twice, it is the same.
 */
class RandomBytes {
  count = 0
  reconnects = -1
  readonly #uri: string
  readonly #random: Random
  readonly #model = Buffer.alloc(BYTE_LENGTH)
  #client: NbdClient | undefined

  constructor(uri: string, random: Random) {
    this.#uri = uri
    this.#random = random
  }

  /** So many operations, and more until the other one has ended; stops at the first difference. */
  async run(operations: number, other: Promise<void>): Promise<string[]> {
    let isOver = false
    const end = other.finally(() => {
      isOver = true
    })
    for (let operation = 0; operation < operations || !isOver; operation += 1) {
      const [at, length] = this.#stretch()
      const wrong = await this.#operate(at, length)
      this.count += 1
      if (wrong.length > 0) return wrong
    }
    await end
    return this.compareAll()
  }

  async compareAll(): Promise<string[]> {
    return this.#compare(0, BYTE_LENGTH)
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  /** Often about blocks and their borders, sometimes a few bytes, sometimes many blocks. */
  #stretch(): [at: number, length: number] {
    const random = this.#random
    const length = random.pick([1, 1 + random.below(511), 512, 4096, 4000 + random.below(5000)])
    const longer = random.chance(0.1) ? 1 + random.below(200_000) : length
    const border = random.below(BYTE_LENGTH / 4096) * 4096
    const at = random.chance(0.3) ? border + random.below(7) - 3 : random.below(BYTE_LENGTH)
    const first = Math.max(0, Math.min(at, BYTE_LENGTH - longer))
    return [first, longer]
  }

  async #operate(at: number, length: number): Promise<string[]> {
    const random = this.#random
    const end = at + length
    const dice = random.below(100)
    if (dice < 30) return this.#compare(at, length)
    if (dice < 70) {
      const data = Buffer.alloc(length, `${this.count}.${random.below(1e9)} `)
      await this.#insist((client) => client.write(at, data, { fua: random.chance(0.1) }))
      data.copy(this.#model, at)
      return []
    }
    if (dice < 84) {
      await this.#insist((client) => client.writeZeroes(at, length, { noHole: random.chance(0.5) }))
      this.#model.fill(0, at, end)
    } else if (dice < 96) return this.#trim(at, length)
    else await this.#insist((client) => client.flush())
    return []
  }

  /** Any block of what is trimmed may keep its content or become zero; what lies outside may not change. */
  async #trim(at: number, length: number): Promise<string[]> {
    await this.#insist((client) => client.trim(at, length))
    const after = await this.#insist((client) => client.read(at, length))
    const odd = after.findIndex((byte, index) => byte !== 0 && byte !== this.#model[at + index])
    if (odd >= 0) return [`byte ${at + odd} is ${after[odd]} after a trim of ${length} at ${at}`]
    after.copy(this.#model, at)
    return this.#compare(
      Math.max(0, at - 4096),
      Math.min(length + 8192, BYTE_LENGTH - Math.max(0, at - 4096)),
    )
  }

  async #compare(at: number, length: number): Promise<string[]> {
    const found = await this.#insist((client) => client.read(at, length))
    const expected = this.#model.subarray(at, at + length)
    const odd = found.findIndex((byte, index) => byte !== expected[index])
    if (odd < 0) return []
    return [`byte ${at + odd} is ${found[odd]}, not ${expected[odd]} (operation ${this.count}, seed ${seed})`]
  }

  async #insist<T>(ask: (client: NbdClient) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask(await this.#connection())
      } catch (error) {
        if (!(error instanceof NbdDisconnected)) throw error
      }
    }
  }

  async #connection(): Promise<NbdClient> {
    const startedMs = performance.now()
    while (!this.#client || this.#client.channel.isOver) {
      try {
        this.#client = await connect(this.#uri, { timeoutMs: 2000 })
        this.reconnects += 1
      } catch (error) {
        if (performance.now() - startedMs > 30_000) throw error
        await sleep(10)
      }
    }
    return this.#client
  }
}
