import t from 'tap'
import { cpuPer100kByRound, type Sample, summarize, summaryTable } from '../../../ts/cli/fio-summary.ts'

/** A round with so many operations in a second, and the CPU time of some processes. */
function round(iops: number, ...cpuSeconds: number[]): Sample {
  const latencies = { p50Us: 1e6 / iops, p99Us: 2500, p999Us: 3000, maxUs: 9000 }
  return { iops, operations: iops, bytesPerSecond: iops * 4096, ...latencies, cpuSeconds }
}

const ours = { name: 'pollux pair', durability: 'in the memory of two nodes' }
const theirs = { name: 'nbdkit memory', durability: 'none' }

const rows = [
  { contender: ours, samples: [round(1000, 0.1, 0.05), round(3000, 0.3, 0.15), round(2000, 0.2, 0.1)] },
  { contender: theirs, samples: [round(500, 0.01), round(1500, 0.03), round(4000, 0.08)] },
]

t.test('medians, ends and ratios of all rounds are told of each contender', async (t) => {
  const [pollux, nbdkit] = summarize(rows)
  t.match(pollux, {
    server: 'pollux pair',
    durability: 'in the memory of two nodes',
    iops: 2000,
    iopsMin: 1000,
    iopsMax: 3000,
    bytesPerSecond: 2000 * 4096,
    p50Us: 500,
    flushP50Us: null,
    ratios: { 'nbdkit memory': 2 },
    ratioSpreads: { 'nbdkit memory': { median: 2, min: 0.5, max: 2, count: 3 } },
  })
  t.same(
    pollux!.cpuSecondsPer100k.map((seconds) => Math.round(seconds)),
    [10, 5],
  )
  t.same(nbdkit!.ratios, { 'pollux pair': 0.5 })
})

t.test('the CPU time of all processes counts, round by round', async (t) => {
  t.same(
    cpuPer100kByRound(rows[0]!.samples).map((seconds) => Math.round(seconds)),
    [15, 15, 15],
  )
})

t.test('a table has a line for each contender, with every figure', async (t) => {
  const lines = summaryTable(summarize(rows)).split('\n')
  t.equal(lines.length, 3)
  t.match(
    lines[0],
    /IOPS +min-max +MB\/s +p50 +p99 +CPU s\/100k +x pollux pair +x nbdkit memory +acknowledged/,
  )
  t.match(
    lines[1],
    /pollux pair +2\.0k +1\.0k-3\.0k +8\.2 +500us +2\.5ms +10\.00\+5\.00 +- +2\.00 +in the memory/,
  )
  t.match(lines[2], /nbdkit memory +1\.5k +500-4\.0k .* 2\.00 +0\.50 +- +none/)
})

t.test('columns that nobody has anything for are left out', async (t) => {
  const alone = summarize([{ contender: { name: 'nbd://a', durability: '' }, samples: [round(1000)] }])
  const [head] = summaryTable(alone).split('\n')
  t.equal(head!.trim().replace(/ +/g, ' '), 'IOPS min-max MB/s p50 p99')
  const flushed = { ...round(1000), flushP50Us: 250, flushP99Us: 1500 }
  const table = summaryTable(summarize([{ contender: ours, samples: [flushed] }]))
  t.match(table, /flush p50 +flush p99/)
  t.match(table, /250us +1\.5ms/)
})

t.test('of many contenders, only the first is compared with the others', async (t) => {
  const many = ['a', 'b', 'c', 'd'].map((name, index) => ({
    contender: { name, durability: '' },
    samples: [round(1000 * (index + 1))],
  }))
  const [head, a, b] = summaryTable(summarize(many)).split('\n')
  t.match(head, /a is x$/)
  t.match(a, / -$/)
  t.match(b, / 0\.50$/)
})
