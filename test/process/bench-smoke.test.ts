import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { Sample } from '../../bench/compare/compare.ts'
import { parseFio } from '../../bench/compare/fio.ts'
import { cpuTicks } from '../../bench/compare/processes.ts'
import { median, missedTargets, pairedRatio, type Summary } from '../../bench/compare/table.ts'

const program = fileURLToPath(new URL('../../bench/main.js', import.meta.url))
const lacking = ['fio', 'nbdkit', 'qemu-nbd'].filter((name) => spawnSync(name, ['--version']).status !== 0)
const skip = lacking.length > 0 ? `${lacking.join(' and ')} not installed` : false
const tiny = ['--size', '32MiB', '--rounds', '1', '--seconds', '1']

function emptyDirectory(t: Test): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'bench-smoke-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function loopDevices(): string {
  return spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' })
    .stdout
}

t.test('a small run measures all three servers and leaves nothing behind', { skip }, async (t) => {
  const directory = emptyDirectory(t)
  const how = [...tiny, '--workloads', '1', '--json', '--dir', directory]
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...how], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  const report = JSON.parse(stdout) as { results: { workload: string; servers: Summary[] }[] }
  t.same(
    report.results.map(({ workload }) => workload),
    ['write 4k QD32'],
  )
  const summaries = report.results[0]!.servers
  t.same(
    summaries.map(({ server }) => server),
    ['pollux pair', 'nbdkit memory', 'qemu-nbd directsync'],
  )
  for (const { server, iops, p50Us, p99Us } of summaries)
    t.ok(iops > 10 && p50Us > 0 && p99Us >= p50Us, `${server} has numbers`)
  t.equal(summaries[0]!.cpuSecondsPer100k.length, 2, 'both nodes are accounted for')
  t.same(readdirSync(directory), [], 'no file is left')
  t.notMatch(loopDevices(), directory, 'no loop device is left')
})

t.test('a run that is interrupted cleans up as well', { skip }, async (t) => {
  const directory = emptyDirectory(t)
  const how = [...tiny, '--servers', 'nbdkit,qemu-nbd', '--seconds', '60', '--dir', directory]
  const bench = spawn(process.execPath, [program, ...how], { stdio: 'ignore' })
  const ended = new Promise((resolve) => bench.once('close', resolve))
  const disk = () => readdirSync(directory).some((name) => existsSync(path.join(directory, name, 'qemu-nbd')))
  for (let tries = 0; !disk(); tries += 1) {
    if (tries > 500) throw new Error('the benchmark does not start')
    await sleep(20)
  }
  bench.kill('SIGINT')
  t.equal(await ended, 130)
  t.same(readdirSync(directory), [], 'no file is left')
  t.notMatch(loopDevices(), directory, 'no loop device is left')
})

t.test('wrong usage is told apart from a failure', async (t) => {
  for (const wrong of [['--servers', 'other'], ['--size', '7'], ['--rounds', '0'], ['--unknown']]) {
    const { status, stderr } = spawnSync(process.execPath, [program, ...wrong], { encoding: 'utf8' })
    t.equal(status, 2)
    t.match(stderr, 'usage:')
  }
})

t.test('the report of fio is read behind the lines of its engine, and its errors are errors', async (t) => {
  const clat_ns = { percentile: { '50.000000': 2000, '99.000000': 5000, '99.900000': 9000 } }
  const idle = { iops: 0, total_ios: 0, clat_ns: {} }
  const busy = { iops: 12.5, total_ios: 25, clat_ns }
  const report = (job: object) => `fio: connected to NBD server\n${JSON.stringify({ jobs: [job] })}`
  const expected = { iops: 12.5, operations: 25, p50Us: 2, p99Us: 5, p999Us: 9 }
  t.same(parseFio(report({ error: 0, read: idle, write: busy })), expected)
  t.same(parseFio(report({ error: 0, read: busy, write: idle })), expected)
  t.throws(() => parseFio(report({ error: 5, read: idle, write: busy })), /error 5/)
  t.throws(() => parseFio(report({ error: 0, read: idle, write: idle })), /no request/)
})

t.test('the processor time of a program with an odd name is found', async (t) => {
  t.equal(cpuTicks('42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 70 30 8 9 20 0 1'), 100)
})

t.test('ratios are taken round by round, and a target is missed or reached', async (t) => {
  const rounds = (...values: number[]) => values.map((iops) => ({ iops }) as Sample)
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(pairedRatio(rounds(10, 2, 30), rounds(20, 4, 10)), 0.5, 'one round out of line changes nothing')
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
