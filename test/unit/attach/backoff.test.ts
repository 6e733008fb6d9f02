import t from 'tap'
import { Backoff } from '../../../ts/attach/backoff.ts'

t.test('a server that ends good handshakes at once is asked once a second', async (t) => {
  const backoff = new Backoff()
  backoff.begin(0)
  const waits: number[] = []
  for (let nowMs = 10_000; waits.length < 8; nowMs += 1) {
    const waitMs = backoff.end(nowMs)
    waits.push(waitMs)
    nowMs += waitMs
    backoff.begin(nowMs)
  }
  t.same(waits, [0, 50, 100, 200, 400, 800, 1000, 1000])
})

t.test('a session that lived for some seconds is replaced at once', async (t) => {
  const backoff = new Backoff()
  backoff.begin(0)
  t.equal(backoff.end(10_000), 0)
  t.equal(backoff.grow(), 50)
  t.equal(backoff.grow(), 100)
  backoff.begin(11_000)
  t.equal(backoff.end(15_999), 200, 'not yet')
  backoff.begin(16_000)
  t.equal(backoff.end(21_000), 0)
})
