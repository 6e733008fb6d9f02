import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { iopsOverTime, longestGapMs } from '../../ts/cli/fio.ts'
import type { BenchPair, BenchStatus } from '../compare/bench-pair.ts'
import { bytesWrittenTo } from '../compare/loop.ts'
import type { Server } from '../compare/server.ts'
import type { Chart, Figure, Series } from '../report/section.ts'
import type { ComparedRow } from './compared.ts'

type Watcher = ReturnType<NonNullable<ComparedRow['watching']>>

/** What a long load shows besides its rate: gaps, and what consistency points write. */
export function watchSustained(directory: string): Watcher {
  const gaps = new Map<string, number[]>()
  const lines = new Map<string, Series>()
  const amplifications: number[] = []
  const toDevices: number[] = []
  const metadata: number[] = []
  const wraps: number[] = []
  const settles: number[] = []
  return {
    watch: async (server, round) => {
      const answerLog = join(directory, `answers-${server.kind}-${round}`)
      const before = await counted(server)
      const bytesBefore = deviceBytes(server)
      return {
        extent: { answerLog },
        ended: async (_, settleMs) => {
          const { gapMs, points } = takeLogs(answerLog)
          listOf(gaps, server.name).push(gapMs)
          lines.set(server.name, { name: server.name, points })
          if (before === undefined || server.pair === undefined) return
          const after = await statusOf(server.pair)
          const written = writtenBetween(before, after)
          amplifications.push(written.amplification)
          if (server.devices?.length) toDevices.push((deviceBytes(server) - bytesBefore) / written.clients)
          metadata.push(written.metadataShare * 100)
          wraps.push(written.wraps)
          settles.push(settleMs / 1000)
        },
      }
    },
    charts: (): Chart[] => [
      {
        title: 'Operations a second, in the last round',
        xTitle: 'seconds',
        yTitle: 'IOPS',
        series: [...lines.values()],
      },
    ],
    figures: (): Figure[] => [
      ...[...gaps].map(([name, values]) => gapFigure(name, values)),
      {
        name: 'blocks of consistency points over those of clients',
        unit: '',
        values: amplifications,
        remark: 'data and pointers, in one plex',
      },
      {
        name: 'bytes to the devices over those of clients',
        unit: '',
        values: toDevices,
        remark: 'all of them',
      },
      { name: 'of that, metadata', unit: '%', values: metadata },
      { name: 'times round the log ring', unit: '', values: wraps },
      { name: 'consistency point after the load', unit: 's', values: settles },
    ],
  }
}

const gapFigure = (name: string, values: readonly number[]): Figure => ({
  name: `longest time without an answer of ${name}`,
  unit: 'ms',
  values,
  remark: 'up to 10 ms less',
})

const deviceBytes = ({ devices = [] }: Server): number =>
  devices.reduce((sum, device) => sum + bytesWrittenTo(device), 0)

/** Everything up to now is on disk, so that it is not counted. */
async function counted(server: Server): Promise<BenchStatus | undefined> {
  if (server.pair === undefined) return undefined
  await server.pair.cp('now')
  return statusOf(server.pair)
}

const statusOf = async (pair: BenchPair): Promise<BenchStatus> => (await pair.owner()).engine

export type Counted = Pick<BenchStatus, 'counters' | 'consistencyPoint' | 'log'>

/** What consistency points have written for what clients wrote between two moments without a log. */
export function writtenBetween(
  before: Counted,
  after: Counted,
): { clients: number; amplification: number; metadataShare: number; wraps: number } {
  const clients = after.counters.writtenByteLength - before.counters.writtenByteLength
  const point = (of: Counted) => of.consistencyPoint
  const data = point(after).blocksWritten - point(before).blocksWritten
  const metadata = point(after).metadataBlocksWritten - point(before).metadataBlocksWritten
  return {
    clients,
    amplification: ((data + metadata) * BLOCK_SIZE) / clients,
    metadataShare: metadata / (data + metadata),
    wraps: clients / (after.log.pageCount * BLOCK_SIZE),
  }
}

/** Reads what fio has logged, and removes it. */
function takeLogs(answerLog: string): { gapMs: number; points: Series['points'] } {
  const file = (kind: string) => `${answerLog}_${kind}.1.log`
  const gapMs = longestGapMs(readFileSync(file('clat'), 'utf8'))
  const points = iopsOverTime(readFileSync(file('iops'), 'utf8'))
  for (const kind of ['clat', 'slat', 'lat', 'iops']) rmSync(file(kind), { force: true })
  return { gapMs, points }
}

function listOf(lists: Map<string, number[]>, key: string): number[] {
  const list = lists.get(key) ?? []
  lists.set(key, list)
  return list
}
