import { execFileSync } from 'node:child_process'
import t from 'tap'
import { crashDuring, crashEverywhere, emptyTally, ofLength, sequences } from './explore.ts'
import { type Operation, operations } from './operations.ts'
import { workloads } from './workloads.ts'

const SAMPLED = Number(process.env['POLLUX_SEQUENCES'] ?? 12)

/** Other ones of the 1331 for each commit, the same ones for everybody who looks at it. */
function sampled(count: number): Operation[][] {
  const all = [...ofLength(operations, 3)]
  let at = commitNumber() % all.length
  return Array.from({ length: count }, () => {
    // 7919 is prime, and so shares no factor with the number of sequences
    at = (at + 7919) % all.length
    return all[at]!
  })
}

function commitNumber(): number {
  try {
    return Number.parseInt(execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).slice(0, 8), 16)
  } catch {
    return 1
  }
}

t.test('after a crash at any write of any short sequence of operations, nothing promised is missing', (t) => {
  const tally = emptyTally()
  for (const steps of sequences(operations, 2)) crashEverywhere(steps, 'vault', tally)
  t.same(tally.failures, [])
  const { sequences: count, points, wrecks, comebacks, refusals } = tally
  t.comment(`${count} sequences, ${points} crash points, ${wrecks} wrecks, ${comebacks} comebacks`)
  t.equal(count, operations.length + operations.length ** 2, 'every sequence of one or two was run')
  t.ok(points > 3 * count, `each was crashed at each of its writes (${points})`)
  t.ok(wrecks > 2 * points, `writes were lost, kept and torn (${wrecks} wrecks)`)
  t.ok(refusals > 0, `a node without the newest changes did not serve (${refusals})`)
  t.end()
})

t.test('the same holds for sequences of three, a sample of them in each commit', (t) => {
  const tally = emptyTally()
  for (const steps of sampled(SAMPLED)) crashEverywhere(steps, 'vault', tally)
  t.same(tally.failures, [])
  t.equal(tally.sequences, SAMPLED)
  t.end()
})

t.test('the same holds throughout a longer workload, another one in each commit', (t) => {
  const tally = emptyTally()
  // the first one takes half a minute: `npm run scope` has it
  const workload = workloads[1 + (commitNumber() % (workloads.length - 1))]!
  crashDuring(workload, 'vault', tally)
  t.same(tally.failures, [])
  t.ok(tally.points > 20, `${workload.name} was crashed ${tally.points} times`)
  t.end()
})

t.test('where the log alone is the promise, flushes cost no write, and crashes lose as little', (t) => {
  const tally = emptyTally()
  for (const steps of sequences(operations, 1)) crashEverywhere(steps, 'nvram', tally)
  t.same(tally.failures, [])
  t.end()
})
