import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { missing } from '../support/program.ts'
import type { Means } from './plan.ts'
import { Soak } from './soak.ts'

const USAGE = 'usage: npm run soak -- [--minutes N] [--seed N] [--durability pair|vault]'
/** A world of our own: namespaces, mounts and processes in it are gone with its first process. */
const APART = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
const INSIDE = 'POLLUX_SOAK_INSIDE'

interface Wanted {
  readonly minutes: number
  readonly seed: number
  readonly durability: string
}

function wanted(): Wanted {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { minutes: text, seed: text, durability: text } })
  const minutes = Number(values.minutes ?? 5)
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  const durability = values.durability ?? (seed % 2 === 0 ? 'pair' : 'vault')
  const isRight = minutes > 0 && Number.isSafeInteger(seed) && ['pair', 'vault'].includes(durability)
  if (!isRight) throw new Error(USAGE)
  return { minutes, seed, durability }
}

/** Why networks and disks cannot be made to fail here; undefined: they can. */
function whyNotApart(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (spawnSync('unshare', [...APART, 'true']).status !== 0) return 'unshare cannot make namespaces'
  return undefined
}

async function inside(what: Wanted): Promise<number> {
  const isApart = process.env[INSIDE] === 'apart'
  const noDisks = missing('nbdkit', 'nbdfuse', 'losetup')
  const means: Means = { network: isApart, disks: isApart && noDisks === false }
  if (isApart && noDisks !== false) console.log(`no errors of disks: ${noDisks}`)
  const dir = mkdtempSync(path.join(tmpdir(), 'pollux-soak-'))
  const isTerminal = process.stderr.isTTY
  const progress = (text: string) => {
    if (isTerminal) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 100) - 1)}`)
  }
  const soak = new Soak({ ...what, dir, means, progress })
  const interrupt = () => soak.interrupt()
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  process.on('disconnect', interrupt)
  await soak.run()
  if (isTerminal) process.stderr.write('\r\x1b[K')
  for (const line of soak.report()) console.log(line)
  return conclude(soak, what)
}

function conclude(soak: Soak, { minutes, seed, durability }: Wanted): number {
  if (soak.failure === undefined) {
    soak.pair.remove()
    console.log(soak.isInterrupted ? 'interrupted; until then all was right' : 'all is right')
    return soak.isInterrupted ? 130 : 0
  }
  const { dir } = soak.options
  console.log(`\nwhat happened last:\n${soak.history.slice(-80).join('\n')}`)
  console.log(`\nbroken: ${soak.failure.message}`)
  console.log(`again: npm run soak -- --seed ${seed} --durability ${durability} --minutes ${minutes}`)
  console.log(`history, logs and disks: ${dir}; the rings: ${soak.pair.rings()}`)
  return 1
}

/** Runs this program once more, in a world of its own. */
function apart(what: Wanted): Promise<number> {
  const words = Object.entries(what).flatMap(([name, value]) => [`--${name}`, String(value)])
  const program = [process.execPath, ...process.execArgv, process.argv[1]!, ...words]
  const child: ChildProcess = spawn('unshare', [...APART, '--', ...program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [INSIDE]: 'apart' },
  })
  // it sees the end of our channel, and cleans up
  const stop = () => child.connected && child.disconnect()
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
}

async function main(): Promise<number> {
  const what = wanted()
  if (process.env[INSIDE] !== undefined) return inside(what)
  console.log(`soak: seed ${what.seed}, ${what.minutes} minutes, durability ${what.durability}`)
  const reason = whyNotApart()
  if (reason === undefined) return apart(what)
  console.log(`no network is cut and no disk fails: ${reason}; run it as root for these`)
  return inside(what)
}

try {
  process.exit(await main())
} catch (error) {
  console.error(`soak: ${(error as Error).message}`)
  process.exit(2)
}
