import { readFileSync } from 'node:fs'
import t from 'tap'
import { native } from '../../../ts/adapters/native.ts'
import { Placement } from '../../../ts/adapters/placement.ts'

/** Where this thread may run, by the kernel. */
function allowed(): string {
  const status = readFileSync('/proc/thread-self/status', 'utf8')
  return /Cpus_allowed_list:\s*(\S+)/.exec(status)![1]!
}

/** A CPU that this thread may run on. */
const first = Number.parseInt(allowed(), 10)
const NOWHERE = 1023

function voted(placement: Placement, hasMany: boolean, times: number): Placement {
  for (let turn = 0; turn < times; turn += 1) placement.vote(hasMany)
  return placement
}

const never = (why: string): void => {
  throw new Error(why)
}

t.test('a thread keeps to its CPU while it has many requests, and runs anywhere after that', async (t) => {
  const before = allowed()
  const placement = voted(new Placement(first, never), true, 1000)
  t.ok(placement.isKept)
  t.equal(allowed(), `${first}`)
  voted(placement, false, 1000)
  t.notOk(placement.isKept)
  t.equal(allowed(), before)
})

t.test('a moment with many, or with few, decides nothing', async (t) => {
  const before = allowed()
  const placement = new Placement(first, never)
  for (let round = 0; round < 100; round += 1) {
    voted(placement, true, 50)
    voted(placement, false, 60)
  }
  t.equal(allowed(), before)
  for (let round = 0; round < 100; round += 1) {
    voted(placement, true, 60)
    voted(placement, false, 50)
  }
  t.equal(allowed(), `${first}`, 'most turns had many')
  voted(placement, false, 1000)
})

t.test('without a CPU in its settings it runs anywhere', async (t) => {
  const before = allowed()
  t.notOk(voted(new Placement(undefined, never), true, 1000).isKept)
  t.equal(allowed(), before)
})

t.test('a CPU that there is not is said once, and not asked for again', async (t) => {
  const before = allowed()
  const told: string[] = []
  const placement = new Placement(NOWHERE, (why) => told.push(why))
  t.notOk(voted(placement, true, 3000).isKept)
  t.same(told, [`it cannot keep to CPU ${NOWHERE} (EINVAL)`])
  t.equal(allowed(), before)
  t.ok(native.keepOnCpu(100_000) < 0, 'nor one that no kernel has')
})
