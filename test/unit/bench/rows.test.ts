import t from 'tap'
import type { Comparison } from '../../../bench/compare/compare.ts'
import { bytesWrittenIn } from '../../../bench/compare/loop.ts'
import { cpuTicks, isInstalled, residentIn } from '../../../bench/compare/processes.ts'
import type { ServerName } from '../../../bench/compare/server.ts'
import { missedTargets } from '../../../bench/compare/targets.ts'
import { missed } from '../../../bench/report/section.ts'
import { comparedSection, type RatioTarget } from '../../../bench/rows/compared.ts'
import { growthPercent, memorySection } from '../../../bench/rows/memory.ts'
import { logFor, stepsOf } from '../../../bench/rows/recovery.ts'
import { type Counted, writtenBetween } from '../../../bench/rows/sustained.ts'
import { rows } from '../../../bench/rows/table.ts'
import { listText, settingsFrom } from '../../../bench/settings.ts'
import { loads } from '../../../ts/cli/fio-loads.ts'
import type { Summary } from '../../../ts/cli/fio-summary.ts'
import type { NodeEvent } from '../../../ts/node/events.ts'

const MIB = 2 ** 20

function comparison(servers: Partial<Record<ServerName, { iops: number[]; cpu: number[] }>>): Comparison {
  const rowsOfAll = Object.entries(servers).map(([kind, { iops, cpu }]) => ({
    contender: {
      kind: kind as ServerName,
      name: kind,
      durability: '',
      target: { uri: 'nbd://h/a' },
      pids: cpu,
    },
    samples: iops.map((count) => ({
      iops: count,
      operations: count,
      bytesPerSecond: count * 4096,
      p50Us: 1,
      p99Us: 2,
      p999Us: 3,
      maxUs: 4,
      cpuSeconds: cpu,
    })),
  }))
  return { load: loads[0]!, secondsPerRound: 1, rows: rowsOfAll }
}

const row = (...targets: RatioTarget[]) => ({ name: 'row', title: 'title', targets })

t.test('a target is a ratio to a peer, round by round', async (t) => {
  const measured = comparison({
    pollux: { iops: [100, 300], cpu: [2, 1] },
    nbdkit: { iops: [200, 300], cpu: [3] },
  })
  const { verdicts } = comparedSection(
    row(
      { of: 'nbdkit', by: 'operations', sense: 'at least', limit: 0.75 },
      { of: 'nbdkit', by: 'operations', share: 0.5, sense: 'at least', limit: 1.6 },
      { of: 'nbdkit', by: 'CPU seconds', sense: 'at most', limit: 1 },
    ),
    measured,
  )
  t.same(
    verdicts.map(({ values }) => values),
    [
      [0.5, 1],
      [1, 2],
      [2, 1],
    ],
  )
  t.match(verdicts[1]!.name, /over 0\.5 of those of nbdkit memory/)
})

t.test('a peer that is not there is a target that is missed', async (t) => {
  const target: RatioTarget = { of: 'raw', by: 'operations', sense: 'at least', limit: 1 }
  const section = comparedSection(row(target), comparison({ pollux: { iops: [100], cpu: [] } }))
  t.same(missed([section]), [
    'row: operations of pollux over those of the raw device is not measured; it takes at least 1.00',
  ])
})

t.test('what consistency points write is counted between two moments', async (t) => {
  const at = (writtenByteLength: number, blocksWritten: number, metadataBlocksWritten: number) =>
    ({
      counters: { writtenByteLength },
      consistencyPoint: { blocksWritten, metadataBlocksWritten },
      log: { pageCount: 256 },
    }) as Counted
  const seen = writtenBetween(at(MIB, 100, 10), at(9 * MIB, 100 + 2048, 10 + 512))
  t.same(seen, { clients: 8 * MIB, amplification: 1.25, metadataShare: 0.2, wraps: 8 })
})

t.test('a takeover is split by the events of the node that took over', async (t) => {
  const event = (name: string, wallMs: number, aggregate = 'castor') =>
    ({ event: name, wallMs, aggregate }) as NodeEvent
  const events = [
    event('link down', 1003, 'pollux'),
    event('link down', 1005),
    event('opening', 1015),
    event('replayed', 1115),
  ]
  t.same(stepsOf(events, 1000, 150), { detect: 5, fence: 10, replay: 100, serve: 35 })
  t.ok(Number.isNaN(stepsOf([], 1000, 150).detect), 'what is not told is not made up')
  const late = events.map((it) => (it.event === 'link down' ? { ...it, wallMs: 1018 } : it))
  t.match(stepsOf(late, 1000, 150), { detect: 15, fence: 0 }, 'the arbiter has told it first')
})

t.test('a log that is filled is half full then', async (t) => {
  t.equal(logFor(256 * MIB), 512 * MIB)
  t.equal(logFor(200 * MIB), 512 * MIB)
  t.equal(logFor(4096), MIB, 'it has a smallest size')
})

t.test('memory that grows is told, memory that is filled at first is not', async (t) => {
  const samples = (bytesAt: (minute: number) => number) =>
    Array.from({ length: 361 }, (_, i) => ({ seconds: i * 5, bytes: [bytesAt(i / 12), 100 * MIB] }))
  const filled = samples((minute) => Math.min(minute, 4) * 100 * MIB)
  t.equal(growthPercent(filled, 0), 0)
  const leaking = samples((minute) => (100 + minute) * MIB)
  const growth = growthPercent(leaking, 0)
  t.ok(growth > 20 && growth < 25, `${growth} %`)
  t.same(
    memorySection(leaking).verdicts.map(({ values }) => values[0] !== 0),
    [true, false],
  )
  t.ok(Number.isNaN(growthPercent([], 0)))
})

t.test('the processor time of a program with an odd name is found, and that of its children', async (t) => {
  t.equal(cpuTicks('42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 70 30 8 9 20 0 1'), 117)
})

t.test('what the kernel says of memory and devices is read', async (t) => {
  t.equal(residentIn('Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t 7 kB\n'), 2 * MIB)
  t.throws(() => residentIn('Name:\tx\nState:\tZ (zombie)\n'), /has ended/)
  t.equal(bytesWrittenIn('     1   2   3   4   5   6   16   8   9  10 11\n'), 8192)
  t.ok(isInstalled('sh'))
  t.notOk(isInstalled('no-such-program'))
})

t.test('the first load has two targets of its own', async (t) => {
  const pollux = (toNbdkit: number, toQemu: number) =>
    ({
      server: 'pollux pair',
      ratios: { 'nbdkit memory': toNbdkit, 'qemu-nbd directsync': toQemu },
    }) as unknown
  t.same(missedTargets([pollux(0.7, 5) as Summary]), [])
  t.match(missedTargets([pollux(0.69, 5) as Summary]), [/0\.69 of nbdkit; it takes 0\.7/])
  t.match(missedTargets([pollux(0.7, 4.9) as Summary]), [/4\.90 of qemu-nbd; it takes 5/])
  t.equal(missedTargets([]).length, 2, 'what was not measured is not reached')
})

t.test('loads, servers and rows are chosen by name', async (t) => {
  const words = (...how: string[]) => settingsFrom(how).loads.map(({ name }) => name)
  t.same(words(), ['write 4k QD32', 'write 4k QD1', 'read 4k QD32', 'write 128k QD8'])
  t.same(words('--workloads', '1'), ['write 4k QD32'])
  t.same(words('--workloads', 'read-4k-qd1,write 4k QD32'), ['read 4k QD1', 'write 4k QD32'])
  t.equal(settingsFrom(['--row', 'all']).rows.length, rows.length)
  t.same(
    settingsFrom(['--row', 'idle,cpu']).rows.map(({ name }) => name),
    ['idle', 'cpu'],
  )
  t.same(settingsFrom(['--servers', 'raw,pollux']).servers, ['raw', 'pollux'])
  const list = listText()
  for (const { name, target } of rows) t.ok(list.includes(name) && list.includes(target), name)
})

t.test('what cannot be is refused by name', async (t) => {
  const wrong = [
    ['--row', 'other', /no row is called other/],
    ['--workloads', 'other', /no load is called other/],
    ['--servers', 'other', /no server is called other/],
    ['--size', '7', /7 is not a size/],
    ['--size', '5000B', /multiple of 4 KiB/],
    ['--minutes', '-1', /ambiguous|not a number/],
    ['--rounds', '0', /not a number above 0/],
    ['--durability', 'none', /no durability none/],
  ] as const
  for (const [option, value, text] of wrong) t.throws(() => settingsFrom([option, value]), { message: text })
  t.throws(() => settingsFrom(['--micro', '--row', 'cpu']), /different things/)
})
