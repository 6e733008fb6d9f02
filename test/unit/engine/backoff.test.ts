import t from 'tap'
import { Backoff } from '../../../ts/engine/backoff.ts'

const TIMES = { firstMs: 100, maxMs: 700, forgivenAfterMs: 1000 }

t.test('what fails again and again is left alone for twice as long each time, up to a limit', async (t) => {
  const backoff = new Backoff(TIMES)
  t.same(
    [0, 2000, 4000, 6000, 8000].map((nowMs) => backoff.failed(nowMs)),
    [100, 200, 400, 700, 700],
  )
})

t.test('what was good for a moment only has not been forgiven', async (t) => {
  const backoff = new Backoff(TIMES)
  t.equal(backoff.failed(0), 100)
  backoff.good(500)
  t.equal(backoff.failed(1500), 200)
  backoff.good(2000)
  t.equal(backoff.failed(3001), 100)
})

t.test('how long it was bad before it was good is no merit', async (t) => {
  const backoff = new Backoff(TIMES)
  backoff.failed(0)
  backoff.failed(5000)
  backoff.good(50_000)
  t.equal(backoff.failed(50_001), 400)
})

t.test('after forgetting, the shortest wait comes first, and then twice that', async (t) => {
  const backoff = new Backoff(TIMES)
  for (const nowMs of [0, 1, 2]) backoff.failed(nowMs)
  backoff.forget()
  t.equal(backoff.failed(3), 100)
  backoff.forget()
  backoff.good(4)
  t.equal(backoff.failed(5), 200)
})
