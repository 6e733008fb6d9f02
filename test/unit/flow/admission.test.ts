import t from 'tap'
import { Admission } from '../../../ts/flow/admission.ts'

/** Bytes admitted per millisecond by clients that always want more, at a fill that stays. */
function admittedRate(admission: Admission, fill: number, stepMs = 0.5): number {
  const entry = 4096
  let admitted = 0
  for (let nowMs = 1000; nowMs < 3000; nowMs += stepMs) {
    admission.refill(nowMs, fill)
    for (; admission.open; admitted += entry) {
      admission.spend(entry)
      if (admitted > 1e12) return Number.POSITIVE_INFINITY
    }
  }
  return admitted / 2000
}

/** An admission that has seen consistency points free so many bytes per millisecond. */
function seasoned(rate: number): Admission {
  const admission = new Admission()
  for (let i = 0; i < 60; i += 1) admission.freed(rate * 100, 100)
  return admission
}

t.test('below half a ring everything is admitted at once', async (t) => {
  const admission = seasoned(100)
  for (const fill of [0, 0.3, 0.5]) {
    admission.refill(1000, fill)
    admission.spend(2 ** 40)
    t.ok(admission.open, `fill ${fill}`)
  }
})

t.test('a full ring admits as fast as consistency points free it', async (t) => {
  for (const rate of [100, 5000, 200_000]) {
    const found = admittedRate(seasoned(rate), 1)
    t.ok(Math.abs(found / rate - 1) < 0.1, `freed ${rate}, admitted ${found} per millisecond`)
  }
})

t.test('the fuller the ring, the slower, without a cliff', async (t) => {
  const rates = [0.51, 0.6, 0.7, 0.8, 0.9, 1].map((fill) => admittedRate(seasoned(5000), fill))
  for (const [index, rate] of rates.entries()) {
    const before = rates[index - 1]
    if (before === undefined) continue
    t.ok(rate < before, `${rate} after ${before}`)
    if (index > 1) t.ok(rate > before * 0.4, 'no step takes more than half away')
  }
})

t.test('after a pause there is a short burst, not all that the pause would have allowed', async (t) => {
  const admission = seasoned(1000)
  admission.refill(1000, 1)
  while (admission.open) admission.spend(4096)
  admission.refill(61_000, 1)
  let burst = 0
  for (; admission.open; burst += 4096) admission.spend(4096)
  t.ok(burst > 0 && burst <= 5 * 1000 + 4096, `${burst} bytes`)
})

t.test('whoever is refused is told when to come again', async (t) => {
  const admission = seasoned(1000)
  admission.refill(1000, 1)
  admission.spend(30_000)
  t.notOk(admission.open)
  const waitMs = admission.waitMs(1)
  t.ok(waitMs >= 1 && waitMs <= 50)
  let nowMs = 1000
  for (let turns = 0; !admission.open && turns < 100; turns += 1) {
    nowMs += admission.waitMs(1)
    admission.refill(nowMs, 1)
  }
  t.ok(admission.open, `after ${nowMs - 1000} ms`)
  t.ok(nowMs - 1000 < 100)
})

t.test('a consistency point that freed nothing, or took no time, is no measurement', async (t) => {
  const admission = seasoned(1000)
  const before = admission.drainRate
  admission.freed(0, 100)
  admission.freed(4096, 0)
  t.equal(admission.drainRate, before)
  for (let i = 0; i < 100; i += 1) admission.freed(1, 60_000)
  t.ok(admission.drainRate >= 64, 'the rate never falls to nothing')
})
