import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { Summary } from '../../ts/cli/fio-summary.ts'

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

interface RowReport {
  readonly name: string
  readonly commit: string
  readonly cores: number
  readonly summaries: readonly Summary[]
  readonly verdicts: readonly { name: string; values: number[] }[]
  readonly figures: readonly { name: string; values: number[] }[]
}

t.test('rows of the targets print a figure each, as JSON and on a page', { skip }, async (t) => {
  const directory = emptyDirectory(t)
  const page = path.join(emptyDirectory(t), 'page.html')
  const names = ['write-qd1', 'sustained-write', 'takeover', 'idle', 'memory']
  const size = ['--size', '32MiB', '--rounds', '1', '--seconds', '1', '--fill', '1MiB', '--quick']
  const how = ['--row', names.join(','), ...size, '--json', '--html', page, '--dir', directory]
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...how], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  const reports = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RowReport)
  t.same(
    reports.map(({ name }) => name),
    names,
  )
  for (const { name, commit, cores, verdicts } of reports) {
    t.ok(commit !== '' && cores > 0, `${name}: from where it is`)
    for (const verdict of verdicts) t.ok(verdict.values.every(Number.isFinite), `${name}: ${verdict.name}`)
    t.ok(verdicts.length > 0, `${name} has a target`)
  }
  const figure = (row: string, word: string) =>
    reports.find(({ name }) => name === row)?.figures.find(({ name }) => name.includes(word))?.values[0]
  t.ok(figure('sustained-write', 'blocks of consistency points')! > 0.1, 'consistency points have written')
  t.ok(figure('sustained-write', 'without an answer of pollux')! > 0)
  t.equal(figure('takeover', 'entries replayed'), 256)
  for (const step of ['detect', 'fence', 'replay', 'serve']) t.ok(figure('takeover', step)! >= 0, step)
  const html = readFileSync(page, 'utf8')
  for (const { verdicts } of reports) for (const { name } of verdicts) t.ok(html.includes(name), name)
  t.same(readdirSync(directory), [], 'no file is left')
  t.notMatch(loopDevices(), directory, 'no loop device is left')
})

t.test('a row that misses its target is a failure, if that is asked for', { skip }, async (t) => {
  // nobody reaches ten times a server that is not there
  const bare = emptyDirectory(t)
  for (const name of ['fio', 'losetup', 'fallocate', 'getconf'])
    symlinkSync(spawnSync('which', [name], { encoding: 'utf8' }).stdout.trim(), path.join(bare, name))
  const how = ['--row', 'write-qd1', ...tiny, '--quick', '--assert', '--dir', emptyDirectory(t)]
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...how], {
    encoding: 'utf8',
    env: { ...process.env, PATH: bare },
  })
  t.equal(status, 1)
  t.match(stdout, /note: nbdkit is not installed \(Debian package nbdkit\)/)
  t.match(stdout, /note: qemu-nbd is not installed \(Debian package qemu-utils\)/)
  t.match(stderr, /write-qd1: operations of pollux over those of nbdkit memory is not measured/)
})

interface TableReport {
  readonly name: string
  readonly table: { columns: { name: string; unit: string }[]; rows: (number | null)[][] }
}

t.test('tables of how it scales have a number in each cell', { skip }, async (t) => {
  const directory = emptyDirectory(t)
  const page = path.join(emptyDirectory(t), 'page.html')
  const how = ['--scale', 'all', '--quick', '--json', '--html', page, '--dir', directory]
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...how], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  const reports = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as TableReport)
  const names = ['size', 'volumes', 'connections', 'aggregates']
  t.same(
    reports.map(({ name }) => name),
    names,
  )
  for (const { name, table } of reports) {
    t.equal(table.rows.length, 2, name)
    for (const row of table.rows) {
      t.equal(row.length, table.columns.length, name)
      t.ok(row.every(Number.isFinite) && row.every((cell) => cell! > 0), `${name}: ${row}`)
    }
  }
  const column = (name: string) => {
    const { columns, rows } = reports[0]!.table
    return rows.map((row) => row[columns.findIndex((one) => one.name === name)]!)
  }
  t.same(column('tree'), [3, 4])
  const ratios = column('blocks').map((blocks, row) => blocks / column('model')[row]!)
  t.ok(
    ratios.every((ratio) => Math.abs(ratio - 1) < 0.05),
    `measured over the model: ${ratios}`,
  )
  t.match(readFileSync(page, 'utf8'), '<th>size, GiB</th>')
  t.same(readdirSync(directory), [], 'no file is left')
  t.notMatch(loopDevices(), directory, 'no loop device is left')
})

t.test('micro benchmarks run small, and names are listed', async (t) => {
  const micro = spawnSync(process.execPath, [program, '--micro', '--quick', '--json'], { encoding: 'utf8' })
  t.equal(micro.status, 0, micro.stderr)
  const { figures } = JSON.parse(micro.stdout) as RowReport
  t.ok(figures.length > 5)
  const list = spawnSync(process.execPath, [program, '--list'], { encoding: 'utf8' })
  t.equal(list.status, 0)
  for (const { name } of figures) t.match(list.stdout, name)
})
