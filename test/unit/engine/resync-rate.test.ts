import t from 'tap'
import { Histogram } from '../../../ts/base/histogram.ts'
import { MIB } from '../../../ts/base/units.ts'
import { Pacer } from '../../../ts/engine/pacer.ts'
import { ResyncRate } from '../../../ts/engine/resync-rate.ts'
import { SeededRandom } from '../../support/memory-world.ts'

const PIECE_BYTES = 128 * 1024

interface Clients {
  /** in a millisecond: how long each change waited that was acknowledged; `isCopying`: with the resync */
  waitsIn(isCopying: boolean, nowMs: number): readonly number[]
  hasPending?(): boolean
  isHeldUp?(): boolean
}

/** A resync beside clients. */
class Resyncing {
  readonly rate: ResyncRate
  bytes = 0
  pausedMs = 0
  nowMs = 0
  isOver = false
  readonly #waits = new Histogram()
  readonly #clients: Clients

  constructor(clients: Clients) {
    this.#clients = clients
    const clock = { now: () => this.nowMs } as ConstructorParameters<typeof Pacer>[0]
    this.rate = new ResyncRate(clock, new Pacer(clock, () => this.isOver), {
      waits: [this.#waits],
      hasPending: () => clients.hasPending?.() ?? true,
      isHeldUp: () => clients.isHeldUp?.() ?? false,
    })
    this.rate.begin()
  }

  run(forMs: number): this {
    const endMs = this.nowMs + forMs
    while (this.nowMs < endMs) {
      this.bytes += PIECE_BYTES
      const copiedAtMs = this.nowMs
      for (const _ of this.rate.pace(PIECE_BYTES)) this.#passMs(copiedAtMs)
    }
    return this
  }

  #passMs(copiedAtMs: number): void {
    this.nowMs += 1
    const isCopying = this.nowMs - copiedAtMs < 9
    if (!isCopying) this.pausedMs += 1
    for (const waitMs of this.#clients.waitsIn(isCopying, this.nowMs)) this.#waits.add(waitMs)
  }

  /** Megabytes a second. */
  get speed(): number {
    return (this.bytes / MIB / this.nowMs) * 1000
  }
}

const NOBODY: Clients = { waitsIn: () => [], hasPending: () => false }
const steady = (calmMs: number, copyingMs: number): Clients => ({
  waitsIn: (isCopying) => Array(10).fill(isCopying ? copyingMs : calmMs),
})

t.test('with clients that notice nothing it becomes as fast as it may be', async (t) => {
  const resyncing = new Resyncing(steady(0.1, 0.12)).run(5000)
  t.equal(resyncing.rate.byteRate, 256 * MIB)
  t.ok(resyncing.speed > 140, `${resyncing.speed} MiB/s`)
})

t.test(
  'with clients that wait much longer than in its pauses it becomes slow, and never stops',
  async (t) => {
    const resyncing = new Resyncing(steady(0.1, 0.3)).run(5000)
    t.equal(resyncing.rate.byteRate, 16 * MIB)
    t.ok(resyncing.speed > 10 && resyncing.speed < 32, `${resyncing.speed} MiB/s`)
  },
)

t.test('without clients it makes no pauses, and larger pieces', async (t) => {
  const resyncing = new Resyncing(NOBODY).run(5000)
  t.equal(resyncing.rate.byteRate, 256 * MIB)
  t.equal(resyncing.pausedMs, 0)
  t.equal(resyncing.rate.pieceBlocks, 128)
})

t.test('clients that wait for so long that none is answered are not taken for nobody', async (t) => {
  const resyncing = new Resyncing({ waitsIn: () => [], hasPending: () => true }).run(5000)
  t.ok(resyncing.pausedMs > 500, `${resyncing.pausedMs} ms`)
  t.equal(resyncing.rate.pieceBlocks, 32)
})

t.test('while clients are held up it becomes slow, whatever the others wait', async (t) => {
  const resyncing = new Resyncing({ ...steady(0.1, 0.1), isHeldUp: () => true }).run(3000)
  t.equal(resyncing.rate.byteRate, 16 * MIB)
})

t.test('a few changes whose waits differ widely do not make it slow, if it is not the reason', async (t) => {
  const random = new SeededRandom(7)
  const exponential = (): number => -Math.log(1 - random.below(1000) / 1000)
  const waitsIn = (): number[] => (random.below(8) === 0 ? [exponential()] : [])
  let sum = 0
  const resyncing = new Resyncing({ waitsIn })
  for (let second = 0; second < 60; second += 1) {
    resyncing.run(1000)
    sum += resyncing.rate.byteRate
  }
  t.ok(sum / 60 > 64 * MIB, `${sum / 60 / MIB} MiB/s`)
})

t.test('waits that are longer than a pause by themselves are compared with each other', async (t) => {
  let nextMs = 0
  const slow = (calmMs: number, copyingMs: number): Clients => ({
    waitsIn: (isCopying, nowMs) => {
      if (nowMs < nextMs) return []
      const waitMs = isCopying ? copyingMs : calmMs
      nextMs = nowMs + waitMs
      return [waitMs]
    },
  })
  t.equal(new Resyncing(slow(5, 60)).run(10_000).rate.byteRate, 16 * MIB)
})

t.test('a burst after a lull is given way to within two seconds', async (t) => {
  const { waitsIn } = steady(0.1, 0.3)
  const isLull = (nowMs: number): boolean => nowMs < 5000
  let nowMs = 0
  const resyncing = new Resyncing({
    waitsIn: (isCopying, ms) => {
      nowMs = ms
      return isLull(ms) ? [] : waitsIn(isCopying, ms)
    },
    hasPending: () => !isLull(nowMs),
  })
  t.equal(resyncing.run(4900).rate.byteRate, 256 * MIB)
  t.equal(resyncing.run(2100).rate.byteRate, 16 * MIB)
})

t.test('when it is to end, nothing rests any more', async (t) => {
  const resyncing = new Resyncing(steady(0.1, 0.1)).run(190)
  resyncing.isOver = true
  t.equal([...resyncing.rate.pace(PIECE_BYTES)].length, 0)
  resyncing.nowMs += 300
  t.equal([...resyncing.rate.pace(PIECE_BYTES)].length, 0)
})

t.test('each resync begins with care', async (t) => {
  const { rate } = new Resyncing(NOBODY).run(1000)
  rate.begin()
  t.match(rate, { byteRate: 64 * MIB, pieceBlocks: 32 })
})
