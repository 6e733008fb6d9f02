import { setTimeout as sleep } from 'node:timers/promises'
import { MIB } from '../../ts/base/units.ts'
import { startPollux } from '../compare/pollux.ts'
import { cpuSeconds } from '../compare/processes.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const LIMIT_PERCENT = 1
/** After the first consistency points; nothing is left over from the start then. */
const CALM_SECONDS = 15

export const idleRow: TargetRow = {
  name: 'idle',
  title: 'CPU of a pair that nobody uses',
  target: `both nodes: at most ${LIMIT_PERCENT} % of one core`,
  run: idle,
}

async function idle(settings: RowSettings) {
  const { isQuick, tell } = settings
  const rounds = settings.rounds ?? (isQuick ? 2 : 7)
  const seconds = settings.seconds ?? (isQuick ? 2 : 60)
  const byteLength = settings.byteLength ?? 64 * MIB
  const directory = emptyDirectory(settings)
  const pollux = { durability: 'pair', isApart: true } as const
  const { pids, durability } = await startPollux({ directory, byteLength, pollux })
  tell('waiting until the pair is calm')
  await sleep(isQuick ? 500 : CALM_SECONDS * 1000)
  const shares: number[][] = []
  for (let round = 1; round <= rounds; round += 1) {
    tell(`idle: round ${round} of ${rounds}`)
    shares.push(await sharesOf(pids, seconds))
  }
  const percent = (of: (round: readonly number[]) => number) => shares.map((round) => of(round) * 100)
  return {
    name: idleRow.name,
    title: idleRow.title,
    how: `${rounds} x ${seconds} s; a write would be ${durability}`,
    summaries: [],
    verdicts: [
      {
        name: 'CPU of both nodes, of one core',
        unit: '%',
        values: percent((round) => round.reduce((sum, share) => sum + share, 0)),
        sense: 'at most' as const,
        limit: LIMIT_PERCENT,
      },
    ],
    figures: pids.map((_, node) => ({
      name: node === 0 ? 'CPU of castor' : 'CPU of pollux',
      unit: '%',
      values: percent((round) => round[node]!),
    })),
    charts: [],
    notes: [],
  }
}

/** How much of one core each process takes. */
async function sharesOf(pids: readonly number[], seconds: number): Promise<number[]> {
  const startedMs = performance.now()
  const before = pids.map(cpuSeconds)
  await sleep(seconds * 1000)
  const elapsed = (performance.now() - startedMs) / 1000
  return pids.map((pid, node) => (cpuSeconds(pid) - before[node]!) / elapsed)
}
