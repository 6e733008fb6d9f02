import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { StoreError } from '../base/errors.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { parseByteLength } from '../config/quantities.ts'
import { type FioLoad, type FioResult, isWriting, mustHaveFio, runFio } from './fio.ts'
import { loadNamed, loads, wordOf } from './fio-loads.ts'
import { type Sample, summarize, summaryTable } from './fio-summary.ts'
import { clearProgress, progress, say, sayJson, tableText } from './output.ts'

export interface BenchOptions {
  load?: string
  rounds: string
  seconds: string
  region?: string
  overwrite?: true
  list?: true
  json?: true
}

interface Wish {
  readonly uris: readonly string[]
  readonly loads: readonly FioLoad[]
  readonly rounds: number
  readonly seconds: number
  readonly region: { readonly regionByteLength?: number }
  readonly mayOverwrite: boolean
}

const STDERR_CHARACTERS_MAX = 2000
const schemes = ['nbd:', 'nbds:', 'nbd+unix:', 'nbds+unix:']

/** `pollux bench`: loads NBD servers with fio, in turns. What they hold stays, unless told otherwise. */
export async function bench(uris: readonly string[], options: BenchOptions): Promise<void> {
  if (options.list) return say(listText())
  const wish = wishOf(uris, options)
  const client = await mustHaveFio(runCommand)
  if (!options.json) say(`${client}; medians of ${wish.rounds} x ${wish.seconds} s, servers in turns`)
  if (wish.mayOverwrite) await fill(wish)
  for (const load of wish.loads) {
    const servers = summarize(await rowsOf(load, wish))
    clearProgress()
    const { rounds, seconds } = wish
    if (options.json) sayJson({ load: load.name, client, rounds, secondsPerRound: seconds, servers })
    else say(`\n${load.name}\n${summaryTable(servers)}`)
  }
}

function listText(): string {
  const rows = loads.map((load) => [
    wordOf(load),
    isWriting(load) ? 'writes: needs --overwrite' : 'only reads',
  ])
  return tableText(['LOAD', ''], rows)
}

function wishOf(uris: readonly string[], options: BenchOptions): Wish {
  if (uris.length === 0) throw usage('name at least one server, as nbd://127.0.0.1:10809/vol0')
  for (const uri of uris) mustBeUri(uri)
  if (new Set(uris).size < uris.length) throw usage('each server is named once')
  const mayOverwrite = options.overwrite === true
  return {
    uris,
    loads: loadsOf(options.load, mayOverwrite),
    rounds: countOf('--rounds', options.rounds),
    seconds: countOf('--seconds', options.seconds),
    region: options.region === undefined ? {} : { regionByteLength: regionOf(options.region) },
    mayOverwrite,
  }
}

function mustBeUri(uri: string): void {
  const isKnown = URL.canParse(uri) && schemes.includes(new URL(uri).protocol)
  if (!isKnown) throw usage(`${uri} is not the URI of an NBD server, as nbd://127.0.0.1:10809/vol0`)
}

/** Without names, all that may be run. */
function loadsOf(names: string | undefined, mayOverwrite: boolean): readonly FioLoad[] {
  if (names === undefined) return loads.filter((load) => mayOverwrite || !isWriting(load))
  return names.split(',').map((name) => {
    const load = loadNamed(name)
    if (!load) throw usage(`no load is called ${name}; see --list`)
    if (mayOverwrite || !isWriting(load)) return load
    throw usage(`${name} destroys what the servers hold; if that may be lost, say --overwrite`)
  })
}

function countOf(option: string, text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw usage(`${option} is a number from 1 to 99999, not ${text}`)
}

function regionOf(text: string): number {
  const parsed = parseByteLength(text)
  if ('mistake' in parsed) throw usage(`--region: ${parsed.mistake}`)
  const { value } = parsed
  if (value > 0 && value % (32 * BLOCK_SIZE) === 0) return value
  throw usage('--region is a multiple of 128KiB, which is the largest request')
}

const usage = (text: string): StoreError => new StoreError('USAGE', text)

/** So that nobody answers reads from holes. */
async function fill({ uris, region }: Wish): Promise<void> {
  for (const uri of uris) {
    progress(`${uri}: every block is written once`)
    await runOne(uri, { ...loadNamed('sequential-write-128k-qd8')!, ...region })
  }
}

async function rowsOf(load: FioLoad, wish: Wish) {
  const rows = wish.uris.map((uri) => ({
    contender: { name: uri, durability: '' },
    samples: [] as Sample[],
  }))
  for (let round = 1; round <= wish.rounds; round += 1) {
    for (const { contender, samples } of rows) {
      progress(`${load.name}: round ${round} of ${wish.rounds}: ${contender.name}`)
      const result = await runOne(contender.name, { ...load, ...wish.region }, wish.seconds)
      samples.push({ ...result, cpuSeconds: [] })
    }
  }
  return rows
}

async function runOne(uri: string, load: FioLoad, seconds?: number): Promise<FioResult> {
  try {
    return await runFio(runCommand, { uri }, load, seconds === undefined ? {} : { seconds })
  } catch (error) {
    clearProgress()
    const text = `${uri}: ${load.name}: ${(error as Error).message}`
    throw new StoreError('API_UNREACHABLE', text, { cause: error })
  }
}

/** Runs a program to its end; it does not outlive this one. */
function runCommand(command: string, arguments_: readonly string[]): Promise<string> {
  const child = spawn(command, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = (signal: NodeJS.Signals) => {
    child.kill('SIGKILL')
    process.exit(128 + constants.signals[signal])
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.once(signal, stop)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS_MAX)
  })
  return new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(stdout)
      const why = stderr.trim() || stdout.trim().slice(0, STDERR_CHARACTERS_MAX)
      reject(new Error(`${command} ended with ${code ?? signal}: ${why}`))
    })
  }).finally(() => {
    for (const signal of signals) process.off(signal, stop)
  })
}
