import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseByteLength } from '../ts/config/quantities.ts'
import { atEnd } from './cleanup.ts'
import { type Comparison, compare, type Plan, warmUp, workloads } from './compare/compare.ts'
import { fioVersion } from './compare/fio.ts'
import { type Server, type ServerName, serverNames, starters } from './compare/servers.ts'
import { missedTargets, summarize, table } from './compare/table.ts'

const usage = `usage: npm run bench -- [--quick] [options]
Compares pollux with nbdkit's memory plugin and qemu-nbd, all on this machine, loaded by fio over TCP.
Pollux has one copy of the blocks (up --shared), as the others have.
  --quick              5 rounds of 5 s for the first workload, 2 of 3 s for the others (else 10 of 10 s)
  --rounds N           rounds of every workload
  --seconds N          seconds of every round
  --workloads N        only the first N of: ${workloads.map(({ name }) => name).join(', ')}
  --servers A,B        only these of: ${serverNames.join(', ')}
  --size 512MiB        size of the volume
  --durability pair    or vault
  --dir D              where the disks are made (default ${tmpdir()}); it must allow direct I/O
  --json               one line of JSON in place of the tables
  --assert             fail unless the first workload reaches 0.7 of nbdkit and 5 of qemu-nbd`

const options = {
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  workloads: { type: 'string', default: String(workloads.length) },
  servers: { type: 'string', default: serverNames.join(',') },
  size: { type: 'string', default: '512MiB' },
  durability: { type: 'string', default: 'pair' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
  assert: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

interface Settings {
  readonly plans: readonly Plan[]
  readonly warmUpSeconds: number
  readonly servers: readonly ServerName[]
  readonly byteLength: number
  readonly durability: 'pair' | 'vault'
  readonly parent: string
  readonly isJson: boolean
  readonly isAsserting: boolean
}

function settingsFrom(arguments_: string[]): Settings {
  const { values } = parseArgs({ args: arguments_, options })
  const servers = values.servers.split(',').map((name) => {
    const known = serverNames.find((server) => server === name)
    return known ?? refuse(`no server is called ${name}`)
  })
  const { durability } = values
  if (durability !== 'pair' && durability !== 'vault') refuse(`there is no durability ${durability}`)
  return {
    plans: plansFrom(values),
    warmUpSeconds: values.seconds === undefined ? 3 : positive(values.seconds),
    servers,
    byteLength: byteLengthFrom(values.size),
    durability,
    parent: values.dir,
    isJson: values.json,
    isAsserting: values.assert,
  }
}

function plansFrom(values: { quick: boolean; rounds?: string; seconds?: string; workloads: string }): Plan[] {
  return workloads.slice(0, positive(values.workloads)).map((workload, index) => {
    const [rounds, seconds] = values.quick ? (index === 0 ? [5, 5] : [2, 3]) : [10, 10]
    return {
      workload,
      rounds: values.rounds === undefined ? rounds : positive(values.rounds),
      secondsPerRound: values.seconds === undefined ? seconds : positive(values.seconds),
    }
  })
}

function positive(text: string): number {
  return /^[1-9]\d{0,5}$/.test(text) ? Number(text) : refuse(`${text} is not a number above 0`)
}

function byteLengthFrom(text: string): number {
  const parsed = parseByteLength(text)
  return 'value' in parsed ? parsed.value : refuse(`${text} is not a size`)
}

class UsageError extends Error {}

function refuse(message: string): never {
  throw new UsageError(message)
}

async function startServers(settings: Settings): Promise<Server[]> {
  const directory = mkdtempSync(join(settings.parent, 'pollux-bench-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  const servers: Server[] = []
  for (const name of settings.servers) {
    tell(`starting ${name}`)
    servers.push(await starters[name]({ ...settings, directory }))
  }
  return servers
}

/** Progress is for people who wait at a terminal. */
function tell(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`)
}

async function machine(settings: Settings): Promise<Record<string, string | number>> {
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout?.trim()
  return {
    time: new Date().toISOString(),
    commit: commit || 'unknown',
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    client: await fioVersion(),
    byteLength: settings.byteLength,
  }
}

function print(settings: Settings, about: Record<string, string | number>, comparisons: Comparison[]): void {
  tell('')
  const servers = comparisons[0]!.rows.map(({ server }) => server)
  const notes = servers.flatMap(({ note }) => note ?? [])
  if (settings.isJson) {
    const results = comparisons.map((comparison) => ({
      workload: comparison.workload.name,
      secondsPerRound: comparison.secondsPerRound,
      servers: summarize(comparison),
    }))
    return console.log(JSON.stringify({ ...about, notes, results }))
  }
  console.log(`${about['cpu']}, ${about['cores']} cores, Linux ${about['kernel']}, Node ${about['node']},`)
  console.log(
    `${about['client']} over TCP loopback; medians; CPU seconds of the server's processes, owner first`,
  )
  for (const comparison of comparisons) console.log(`\n${table(comparison)}`)
  for (const note of notes) console.log(`\nnote: ${note}`)
}

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(usage)
    return 0
  }
  const settings = settingsFrom(process.argv.slice(2))
  const about = await machine(settings)
  const servers = await startServers(settings)
  await warmUp(servers, settings.warmUpSeconds, tell)
  const comparisons: Comparison[] = []
  for (const plan of settings.plans) comparisons.push(await compare(servers, plan, tell))
  print(settings, about, comparisons)
  const missed = settings.isAsserting ? missedTargets(summarize(comparisons[0]!)) : []
  for (const sentence of missed) console.error(`bench: ${sentence}`)
  return missed.length === 0 ? 0 : 1
}

try {
  process.exit(await main())
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  console.error(`bench: ${error instanceof Error ? error.message : error}${isUsage ? `\n${usage}` : ''}`)
  process.exit(isUsage ? 2 : 1)
}
