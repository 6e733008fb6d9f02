import { KIB, MIB } from '../../ts/base/units.ts'
import { type FioLoad, runFio } from '../../ts/cli/fio.ts'
import { exactByteLengthText } from '../../ts/config/quantities.ts'
import type { NodeEvent } from '../../ts/node/events.ts'
import { AGGREGATE, type BenchPair, type BenchStatus, partnerOf } from '../compare/bench-pair.ts'
import { startPollux } from '../compare/pollux.ts'
import { run } from '../compare/processes.ts'
import type { Figure, Section } from '../report/section.ts'
import { firstReply } from './first-reply.ts'
import { emptyDirectory, type RowSettings, type TargetRow } from './row.ts'

const REPLAY_LIMIT = 1_000_000
const TAKEOVER_LIMIT_MS = 300
const FILL_BYTES = 256 * MIB
const QUICK_FILL_BYTES = 4 * MIB

const load: FioLoad = {
  name: 'fill the log',
  pattern: 'randwrite',
  blockByteLength: 4 * KIB,
  queueDepth: 32,
}

export const replayRow: TargetRow = {
  name: 'replay',
  title: 'replay of the log at a takeover',
  target: `at least ${REPLAY_LIMIT.toLocaleString('en-US')} entries a second`,
  run: async (settings) => {
    const { takeovers, how } = await takeOver(settings, settings.isQuick ? 2 : 7)
    const rates = takeovers.map(({ recovery }) => (recovery.entries / recovery.durationMs) * 1000)
    return {
      ...sectionOf(replayRow, takeovers, how),
      verdicts: [
        { name: 'entries of 4k', unit: 'a second', values: rates, sense: 'at least', limit: REPLAY_LIMIT },
      ],
    }
  },
}

export const takeoverRow: TargetRow = {
  name: 'takeover',
  title: 'kill -9 of the owner until the first reply of its partner',
  target: `median of 50 at most ${TAKEOVER_LIMIT_MS} ms, with 256 MiB of log to replay (--fill)`,
  run: async (settings) => {
    const { takeovers, how } = await takeOver(settings, settings.isQuick ? 2 : 50)
    const totals = takeovers.map(({ replyMs }) => replyMs)
    return {
      ...sectionOf(takeoverRow, takeovers, how),
      verdicts: [
        {
          name: 'until the first reply',
          unit: 'ms',
          values: totals,
          sense: 'at most',
          limit: TAKEOVER_LIMIT_MS,
        },
      ],
    }
  },
}

interface Takeover {
  /** from the kill to the first reply */
  readonly replyMs: number
  readonly steps: TakeoverSteps
  readonly recovery: NonNullable<BenchStatus['recovery']>
}

/** Where the time of a takeover went, in milliseconds. NaN: the node has not told. */
export interface TakeoverSteps {
  /** until the partner knew */
  readonly detect: number
  /** until it was the owner */
  readonly fence: number
  /** until it had opened the image and applied the log */
  readonly replay: number
  /** until a client had a reply */
  readonly serve: number
}

async function takeOver(
  settings: RowSettings,
  usualRounds: number,
): Promise<{ takeovers: Takeover[]; how: string }> {
  const { tell, isQuick } = settings
  const fill = settings.fillByteLength ?? (isQuick ? QUICK_FILL_BYTES : FILL_BYTES)
  const byteLength = settings.byteLength ?? (isQuick ? 64 : 1024) * MIB
  const directory = emptyDirectory(settings)
  const pollux = { durability: 'pair', logByteLength: logFor(fill) } as const
  const server = await startPollux({ directory, byteLength, pollux })
  const rounds = settings.rounds ?? usualRounds
  const takeovers: Takeover[] = []
  for (let round = 1; round <= rounds; round += 1) {
    tell(`takeover ${round} of ${rounds}`)
    takeovers.push(await takeOverOnce(server.pair!, fill))
  }
  const text = `${rounds} times, ${exactByteLengthText(fill)} of the log to replay`
  return { takeovers, how: `${text}; a write was ${server.durability}` }
}

/** The log is half full then: fuller, and clients would be slowed down until a point that is held back. */
export function logFor(fillByteLength: number): number {
  return Math.max(MIB, 2 ** Math.ceil(Math.log2(2 * fillByteLength)))
}

/** Ends as it began: the same node serves, and its partner has everything. */
async function takeOverOnce(pair: BenchPair, fillByteLength: number): Promise<Takeover> {
  await pair.inSync()
  const { node } = await pair.owner()
  const partner = partnerOf(node)
  await pair.cp('now')
  await pair.cp('hold')
  await runFio(run, { uri: pair.uri }, load, { totalByteLength: fillByteLength })
  const lastEvent = (await pair.events(partner, 0)).at(-1)?.number ?? 0
  const { uri } = pair
  const killed = pair.kill(node)
  const replyMs = (await firstReply(uri)) - killed.atMs
  const steps = stepsOf(await pair.events(partner, lastEvent), killed.wallMs, replyMs)
  const recovery = (await pair.engine(partner))?.recovery
  if (!recovery) throw new Error(`${partner} does not tell what it has replayed`)
  await pair.up()
  await pair.inSync()
  await pair.giveBack(node)
  return { replyMs, steps, recovery }
}

/** The clocks of both processes are the same one, read in whole milliseconds. */
export function stepsOf(events: readonly NodeEvent[], killedWallMs: number, replyMs: number): TakeoverSteps {
  const when = (name: string): number =>
    (events.find(({ event, aggregate }) => event === name && aggregate === AGGREGATE)?.wallMs ?? Number.NaN) -
    killedWallMs
  const [opening, replayed] = [when('opening'), when('replayed')] as const
  // the arbiter may tell that the process has ended before the link does
  const known = Math.min(when('link down'), opening)
  return {
    detect: known,
    fence: opening - known,
    replay: replayed - opening,
    serve: replyMs - replayed,
  }
}

function sectionOf(row: TargetRow, takeovers: readonly Takeover[], how: string): Section {
  const figure = (name: string, unit: string, of: (takeover: Takeover) => number, remark = ''): Figure => ({
    name,
    unit,
    values: takeovers.map(of),
    remark,
  })
  return {
    name: row.name,
    title: row.title,
    how,
    summaries: [],
    verdicts: [],
    figures: [
      figure('entries replayed', '', ({ recovery }) => recovery.entries),
      figure('opening and replay', 'ms', ({ recovery }) => recovery.durationMs, 'as the node tells it'),
      figure('detect', 'ms', ({ steps }) => steps.detect, 'kill to link down'),
      figure('fence', 'ms', ({ steps }) => steps.fence, 'to the new record of ownership'),
      figure('replay', 'ms', ({ steps }) => steps.replay, 'image opened, log applied'),
      figure('serve', 'ms', ({ steps }) => steps.serve, 'to the first reply to a write'),
      figure('first reply', 'ms', ({ replyMs }) => replyMs),
    ],
    charts: [],
    notes: [],
  }
}
