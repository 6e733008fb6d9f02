import t from 'tap'
import { Histogram } from '../../../ts/base/histogram.ts'
import { MIB } from '../../../ts/base/units.ts'
import { Pacer } from '../../../ts/engine/pacer.ts'
import { ResyncRate } from '../../../ts/engine/resync-rate.ts'

const PIECE_BYTES = 128 * 1024

/** Copies for so long, with clients that wait for `waitMs` as long as something was copied 1 ms ago. */
function copy(
  forMs: number,
  { calmMs, copyingMs, perMs }: { calmMs: number; copyingMs: number; perMs: number },
): { rate: ResyncRate; bytes: number; restedMs: number } {
  let nowMs = 0
  const waits = new Histogram()
  const clock = { now: () => nowMs } as ConstructorParameters<typeof Pacer>[0]
  const rate = new ResyncRate(clock, new Pacer(clock, () => false), [waits])
  rate.begin()
  let [bytes, copiedAtMs, restedMs] = [0, 0, 0]
  const passMs = (): void => {
    nowMs += 1
    const isCopying = nowMs - copiedAtMs < 9
    if (!isCopying) restedMs += 1
    for (let count = 0; count < perMs; count += 1) waits.add(isCopying ? copyingMs : calmMs)
  }
  while (nowMs < forMs) {
    bytes += PIECE_BYTES
    copiedAtMs = nowMs
    for (const _ of rate.pace(PIECE_BYTES)) passMs()
  }
  return { rate, bytes, restedMs }
}

t.test('with clients that notice nothing it becomes as fast as it may be', async (t) => {
  const { rate, bytes } = copy(5000, { calmMs: 0.1, copyingMs: 0.14, perMs: 10 })
  t.equal(rate.byteRate, 256 * MIB)
  t.ok(bytes > 5 * 140 * MIB, `${bytes} bytes`)
})

t.test(
  'with clients that wait much longer than in its pauses it becomes slow, and never stops',
  async (t) => {
    const { rate, bytes } = copy(5000, { calmMs: 0.1, copyingMs: 0.3, perMs: 10 })
    t.equal(rate.byteRate, 16 * MIB)
    t.ok(bytes > 5 * 10 * MIB && bytes < 5 * 32 * MIB, `${bytes} bytes`)
  },
)

t.test('without clients it makes no pauses', async (t) => {
  const { rate, restedMs } = copy(5000, { calmMs: 0, copyingMs: 0, perMs: 0 })
  t.equal(rate.byteRate, 256 * MIB)
  t.equal(restedMs, 0)
})

t.test('each resync begins with care', async (t) => {
  const { rate } = copy(1000, { calmMs: 0, copyingMs: 0, perMs: 0 })
  rate.begin()
  t.equal(rate.byteRate, 64 * MIB)
})
