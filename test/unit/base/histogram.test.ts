import t from 'tap'
import { Histogram } from '../../../ts/base/histogram.ts'

t.test('nothing took no time', async (t) => {
  t.same(new Histogram().summary(), { count: 0, meanUs: 0, p50Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 })
})

t.test('a percentile is never too short, and at most an eighth too long', async (t) => {
  for (const us of [0, 1, 7, 15, 16, 17, 31, 32, 100, 999, 1024, 65_537, 3_000_000, 2 ** 31 - 1]) {
    const histogram = new Histogram()
    histogram.add(us / 1000)
    histogram.add(3_600_000)
    const { p50Us } = histogram.summary()
    t.ok(p50Us >= us && p50Us <= us * 1.125, `${us} us is told as ${p50Us}`)
  }
})

t.test('percentiles, mean and maximum are those of what was added', async (t) => {
  const histogram = new Histogram()
  for (let us = 1; us <= 10_000; us += 1) histogram.add(us / 1000)
  const { count, meanUs, p50Us, p99Us, p999Us, maxUs } = histogram.summary()
  t.same([count, meanUs, maxUs], [10_000, 5000.5, 10_000])
  t.same([histogram.count, histogram.sumMs], [10_000, 50_005])
  for (const [found, right] of [
    [p50Us, 5000],
    [p99Us, 9900],
    [p999Us, 9990],
  ] as const)
    t.ok(found >= right && found <= right * 1.125, `${found} for ${right}`)
})

t.test('a clock that goes back, or a duration of years, breaks nothing', async (t) => {
  const histogram = new Histogram()
  histogram.add(-5)
  histogram.add(1e12)
  t.match(histogram.summary(), { count: 2, p50Us: 0, maxUs: 2 ** 31 - 1 })
})
