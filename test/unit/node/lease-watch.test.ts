import t from 'tap'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import { LeaseWatch } from '../../../ts/node/lease-watch.ts'
import type { ArbiterAnswer } from '../../../ts/ports/arbiter.ts'

const record = (boot: string | null): OwnerRecord => ({
  version: 2,
  aggregate: 'one',
  owner: 'castor',
  epoch: 1,
  log: 'in-sync',
  incarnations: {},
  plex0: 'in-sync',
  plex1: 'absent',
  lease: boot === null ? null : { holder: 'castor', boot, durationMs: 2000, counter: 1 },
  clean: false,
  forced: [],
})

/** A watch of leases that count for 1600 ms, and an arbiter that answers when it is told to. */
function watched() {
  const clock = { ms: 1000 }
  const watch = new LeaseWatch(1600, () => clock.ms)
  const waiting: ((answer: ArbiterAnswer) => void)[] = []
  const slow = {
    read: (_name: string, done: (answer: ArbiterAnswer) => void) => void waiting.push(done),
    swap: (
      _name: string,
      _at: number | undefined,
      _next: OwnerRecord,
      done: (answer: ArbiterAnswer) => void,
    ) => void waiting.push(done),
  }
  const arbiter = watch.through(slow, 'b0')
  const heard: string[] = []
  const hear = ({ kind }: ArbiterAnswer) => void heard.push(kind)
  const swap = (boot: string | null) => arbiter.swap('one', 1, record(boot), hear)
  const answer = (kind: 'swapped' | 'conflict') => waiting.shift()!({ kind, record: record('b0') })
  return { clock, watch, arbiter, heard, hear, swap, answer, waiting, end: () => watch.endMs('one') }
}

const NEVER = Number.NEGATIVE_INFINITY

t.test('a lease counts from when its swap was sent, once it is known to be applied', async (t) => {
  const { clock, swap, answer, end, heard, watch } = watched()
  t.equal(end(), NEVER)
  swap('b0')
  clock.ms = 1500
  t.equal(end(), NEVER)
  answer('swapped')
  t.equal(end(), 2600)
  swap('b0')
  answer('conflict')
  t.equal(end(), 2600, 'a swap that was refused counts for nothing')
  t.equal(watch.endMs('two'), NEVER, 'each aggregate has its own')
  t.same(heard, ['swapped', 'conflict'], 'the engine hears all')
})

t.test('a lease that is given away is over when that is sent', async (t) => {
  const { swap, answer, end } = watched()
  swap('b0')
  answer('swapped')
  swap('b0')
  swap(null)
  t.equal(end(), NEVER)
  answer('swapped')
  t.equal(end(), NEVER, 'also if a renewal is answered after that')
  answer('swapped')
  t.equal(end(), NEVER)
  swap('another process')
  answer('swapped')
  t.equal(end(), NEVER)
})

t.test('reads go through', async (t) => {
  const { arbiter, hear, waiting, heard, end } = watched()
  arbiter.read('one', hear)
  waiting.shift()!({ kind: 'record', record: record('b0'), holderGone: false })
  t.same([heard, end()], [['record'], NEVER])
})
