import type { FioLoad } from '../../ts/cli/fio.ts'
import { cpuPer100kByRound, pairedIops, type Sample, summarize } from '../../ts/cli/fio-summary.ts'
import { pairedRatios } from '../../ts/cli/statistics.ts'
import { type Comparison, compare, type Plan, startAll, warmUp } from '../compare/compare.ts'
import type { PolluxSetup, ServerName } from '../compare/server.ts'
import type { Chart, Figure, Section, Verdict } from '../report/section.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const ROUNDS = 7
const QUICK_ROUNDS = 2
const QUICK_SECONDS = 3
const WARM_UP_SECONDS = 3

/** Pollux and another server, by the same load in the same run. */
export interface RatioTarget {
  readonly of: ServerName
  readonly by: 'operations' | 'CPU seconds'
  /** the other one's figure is multiplied by it first; default 1 */
  readonly share?: number
  readonly sense: Verdict['sense']
  readonly limit: number
}

/** A row that compares servers under one load. */
export interface ComparedRow {
  readonly name: string
  readonly title: string
  readonly load: FioLoad
  readonly byteLength: number
  readonly quickByteLength?: number
  /** of a round; default 10 */
  readonly seconds?: number
  readonly pollux: PolluxSetup
  readonly targets: readonly RatioTarget[]
  readonly watching?: (directory: string) => {
    readonly watch: NonNullable<Plan['watch']>
    readonly figures: () => readonly Figure[]
    readonly charts: () => readonly Chart[]
  }
}

export function comparedRow(row: ComparedRow): TargetRow {
  const { name, title, targets } = row
  return { name, title, target: targets.map(targetText).join('; '), run: (settings) => run(row, settings) }
}

async function run(row: ComparedRow, settings: RowSettings): Promise<Section> {
  const { isQuick, tell, more } = settings
  const directory = emptyDirectory(settings)
  const servers: ServerName[] = ['pollux', ...row.targets.map(({ of }) => of), ...more]
  const usual = isQuick ? (row.quickByteLength ?? row.byteLength) : row.byteLength
  const byteLength = settings.byteLength ?? usual
  const options = { directory, byteLength, pollux: row.pollux }
  const started = await startAll([...new Set(servers)], options, tell)
  await warmUp(started.servers, settings.seconds ?? WARM_UP_SECONDS, tell, row.load)
  const watching = row.watching?.(directory)
  const plan: Plan = {
    load: row.load,
    rounds: settings.rounds ?? (isQuick ? QUICK_ROUNDS : ROUNDS),
    secondsPerRound: settings.seconds ?? (isQuick ? QUICK_SECONDS : (row.seconds ?? 10)),
    ...(watching ? { watch: watching.watch } : {}),
  }
  const comparison = await compare(started.servers, plan, tell)
  return {
    ...comparedSection(row, comparison),
    figures: watching?.figures() ?? [],
    charts: watching?.charts() ?? [],
    notes: started.notes,
    how: `${plan.rounds} x ${plan.secondsPerRound} s, in turns, ${byteLength / 2 ** 20} MiB`,
  }
}

export function comparedSection(
  { name, title, targets }: Pick<ComparedRow, 'name' | 'title' | 'targets'>,
  { rows }: Comparison,
): Section {
  const samplesOf = (kind: ServerName) => rows.find(({ contender }) => contender.kind === kind)?.samples
  const pollux = samplesOf('pollux')
  const verdicts = targets.map((target) => verdictOf(target, pollux, samplesOf(target.of)))
  return { name, title, how: '', summaries: summarize(rows), verdicts, figures: [], charts: [], notes: [] }
}

function verdictOf(
  target: RatioTarget,
  pollux: readonly Sample[] | undefined,
  other: readonly Sample[] | undefined,
): Verdict {
  const { by, share = 1, sense, limit } = target
  const ratios =
    pollux === undefined || other === undefined
      ? []
      : by === 'operations'
        ? pairedIops(pollux, other)
        : pairedRatios(cpuPer100kByRound(pollux), cpuPer100kByRound(other))
  return { name: whatIs(target), unit: '', values: ratios.map((ratio) => ratio / share), sense, limit }
}

const whatIs = ({ of, by, share }: RatioTarget): string =>
  `${by} of pollux over ${share === undefined ? '' : `${share} of `}those of ${namesOf[of] ?? of}`

const namesOf: Partial<Record<ServerName, string>> = {
  nbdkit: 'nbdkit memory',
  'qemu-nbd': 'qemu-nbd directsync',
  'qemu-none': 'qemu-nbd none, io_uring',
  raw: 'the raw device',
}

const targetText = (target: RatioTarget): string => `${whatIs(target)}: ${target.sense} ${target.limit}`
