import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { GIB, KIB } from '../ts/base/units.ts'
import type { FioLoad } from '../ts/cli/fio.ts'
import { loadNamed, loads, wordOf } from '../ts/cli/fio-loads.ts'
import { parseByteLength } from '../ts/config/quantities.ts'
import { type PolluxSetup, type ServerName, serverNames, usualServers } from './compare/server.ts'
import { microNames } from './micro/micro.ts'
import type { TargetRow } from './rows/row.ts'
import { rows } from './rows/table.ts'
import type { ScaleTable } from './scale/point.ts'
import { scaleTables } from './scale/tables.ts'

/** What is compared without being asked for: the first ones. */
const USUAL_LOADS = 4

export const usage = `usage: npm run bench -- [--quick] [options]
Compares pollux with other NBD servers, all on this machine, loaded by fio over TCP.
Pollux has one copy of the blocks (up --shared), as the others have.
  --quick              5 rounds of 5 s for the first load, 2 of 3 s for the others (else 10 of 10 s)
  --rounds N           rounds of every load
  --seconds N          seconds of every round
  --workloads N        only the first N loads, or those that are named: A,B (--list)
  --servers A,B        only these servers (--list); the default is ${usualServers.join(',')}
  --size 512MiB        size of the volume
  --durability pair    or vault
The targets, each with the servers, the volume and the rounds that belong to it:
  --row A,B            these rows (--list), or all; --servers adds servers, --quick only shows that it works
  --minutes 30         how long the row memory takes
  --fill 256MiB        data in the log in the rows replay and takeover
Tables of how Pollux scales:
  --scale A,B          these tables (--list), or all: 3 rounds of 3 s for each point; --quick for few points,
                       --size for what a load touches of a volume, at most 1GiB (default 256MiB)
Parts of the program alone:
  --micro              the micro benchmarks; --quick for small ones
Of all of them:
  --list               names of loads, servers, rows, tables and micro benchmarks
  --dir D              where the disks are made (default ${tmpdir()}); it must allow direct I/O
  --json               JSON lines in place of the tables
  --html FILE          a page with charts as well
  --assert             fail unless the first load reaches 0.7 of nbdkit and 5 of qemu-nbd, or unless every
                       row reaches its target`

const options = {
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  workloads: { type: 'string', default: String(USUAL_LOADS) },
  servers: { type: 'string' },
  size: { type: 'string' },
  durability: { type: 'string', default: 'pair' },
  row: { type: 'string' },
  scale: { type: 'string' },
  minutes: { type: 'string' },
  fill: { type: 'string' },
  micro: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
  html: { type: 'string' },
  assert: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

export interface Settings {
  readonly mode: 'help' | 'list' | 'micro' | 'rows' | 'scale' | 'compare'
  readonly isQuick: boolean
  readonly rounds: number | undefined
  readonly seconds: number | undefined
  readonly minutes: number | undefined
  readonly loads: readonly FioLoad[]
  readonly servers: readonly ServerName[] | undefined
  readonly rows: readonly TargetRow[]
  readonly tables: readonly ScaleTable[]
  readonly byteLength: number | undefined
  readonly fillByteLength: number | undefined
  readonly durability: PolluxSetup['durability']
  readonly parent: string
  readonly isJson: boolean
  readonly html: string | undefined
  readonly isAsserting: boolean
}

/** Throws UsageError, or what parseArgs throws. */
export function settingsFrom(arguments_: string[]): Settings {
  const { values } = parseArgs({ args: arguments_, options })
  const { durability, quick, row, scale, servers, size, fill } = values
  if (durability !== 'pair' && durability !== 'vault') refuse(`there is no durability ${durability}`)
  const byteLength = size === undefined ? undefined : byteLengthFrom(size)
  if ([row, scale, values.micro || undefined].filter((each) => each !== undefined).length > 1)
    refuse('--row, --scale and --micro are different things')
  if (scale !== undefined && (byteLength ?? 0) > GIB)
    refuse(`${size} is more than the volumes of --scale have`)
  return {
    mode: modeOf(values),
    isQuick: quick,
    rounds: values.rounds === undefined ? undefined : positive(values.rounds),
    seconds: values.seconds === undefined ? undefined : positive(values.seconds),
    minutes: values.minutes === undefined ? undefined : positive(values.minutes),
    loads: loadsFrom(values.workloads),
    servers: servers?.split(',').map(serverFrom),
    rows: row === undefined ? [] : namedIn(row, rows, 'row'),
    tables: scale === undefined ? [] : namedIn(scale, scaleTables, 'table'),
    byteLength,
    fillByteLength: fill === undefined ? undefined : byteLengthFrom(fill),
    durability,
    parent: values.dir,
    isJson: values.json,
    html: values.html,
    isAsserting: values.assert,
  }
}

interface Modes {
  readonly help: boolean
  readonly list: boolean
  readonly micro: boolean
  readonly row?: string
  readonly scale?: string
}

function modeOf(values: Modes): Settings['mode'] {
  if (values.help) return 'help'
  if (values.list) return 'list'
  if (values.micro) return 'micro'
  if (values.scale !== undefined) return 'scale'
  return values.row === undefined ? 'compare' : 'rows'
}

function serverFrom(name: string): ServerName {
  return serverNames.find((server) => server === name) ?? refuse(`no server is called ${name}`)
}

function loadsFrom(text: string): readonly FioLoad[] {
  if (/^\d+$/.test(text)) return loads.slice(0, positive(text))
  return text.split(',').map((name) => loadNamed(name) ?? refuse(`no load is called ${name}`))
}

function namedIn<T extends { readonly name: string }>(
  text: string,
  all: readonly T[],
  kind: string,
): readonly T[] {
  if (text === 'all') return all
  return text
    .split(',')
    .map((name) => all.find((each) => each.name === name) ?? refuse(`no ${kind} is called ${name}`))
}

function positive(text: string): number {
  return /^[1-9]\d{0,5}$/.test(text) ? Number(text) : refuse(`${text} is not a number above 0`)
}

/** Devices and volumes have whole blocks. */
function byteLengthFrom(text: string): number {
  const parsed = parseByteLength(text)
  if (!('value' in parsed) || parsed.value === 0) return refuse(`${text} is not a size`)
  return parsed.value % (4 * KIB) === 0 ? parsed.value : refuse(`${text} is not a multiple of 4 KiB`)
}

export class UsageError extends Error {}

function refuse(message: string): never {
  throw new UsageError(message)
}

/** Everything that can be named. */
export function listText(): string {
  const line = (name: string, text: string) => `  ${name.padEnd(26)} ${text}`
  return [
    'loads (--workloads):',
    ...loads.map((load) => line(wordOf(load), load.name)),
    'servers (--servers):',
    ...serverNames.map((name) => `  ${name}`),
    'rows (--row):',
    ...rows.map(({ name, title, target }) => `${line(name, title)}\n${line('', target)}`),
    'tables (--scale):',
    ...scaleTables.map(({ name, title }) => line(name, title)),
    'micro benchmarks (--micro):',
    ...microNames.map((name) => `  ${name}`),
  ].join('\n')
}
