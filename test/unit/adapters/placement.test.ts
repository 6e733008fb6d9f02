import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { native } from '../../../ts/adapters/native.ts'
import { allowed, type Seen, type Step } from '../../support/placement-thread.ts'

const before = allowed()
/** A CPU that this process may use. */
const first = Number.parseInt(before, 10)
const NOWHERE = 1023

const many = (times: number): Step => [true, times]
const few = (times: number): Step => [false, times]

async function seen(cpu: number | undefined, ...steps: readonly Step[]): Promise<Seen[]> {
  const url = new URL('../../support/placement-thread.js', import.meta.url)
  const worker = new Worker(url, { workerData: { cpu, steps } })
  const [all] = (await once(worker, 'message')) as [Seen[]]
  return all
}

t.test('a thread keeps to its CPU while it has many changes, and runs anywhere after that', async (t) => {
  const [kept, silent, after] = await seen(first, many(1000), [undefined, 5000], few(1000))
  t.match(kept, { isKept: true, allowed: `${first}` })
  t.match(silent, { isKept: true }, 'turns that say nothing do not count')
  t.match(after, { isKept: false, allowed: before })
})

t.test('most turns decide, not a moment', async (t) => {
  const rounds = (...steps: Step[]): Step[] => Array.from({ length: 100 }, () => steps).flat()
  const fewer = await seen(first, ...rounds(many(50), few(60)))
  t.ok(fewer.every(({ isKept }) => !isKept))
  const more = await seen(first, ...rounds(many(60), few(50)))
  t.match(more.at(-1), { isKept: true, allowed: `${first}` })
})

t.test('who is let go has to have many changes again for as long as at first', async (t) => {
  const [, gone, soon, later] = await seen(first, many(1000), 'let go', many(200), many(1000))
  t.match(gone, { isKept: false, allowed: before })
  t.match(soon, { isKept: false })
  t.match(later, { isKept: true })
})

t.test('without a CPU in its settings it runs anywhere', async (t) => {
  t.same(await seen(undefined, many(1000)), [{ isKept: false, isWanted: false, allowed: before, told: [] }])
})

t.test('a CPU that there is not is said once, and not asked for again', async (t) => {
  const told = [`it cannot keep to CPU ${NOWHERE} (EINVAL); from now on the kernel chooses`]
  const nowhere = { isKept: false, isWanted: false, allowed: before, told }
  t.same(await seen(NOWHERE, many(1000), many(1000)), [nowhere, nowhere])
  t.ok(native.keepOnCpu(100_000) < 0, 'nor one that no kernel has')
})
