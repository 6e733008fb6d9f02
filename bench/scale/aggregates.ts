import { type FioResult, runFio } from '../../ts/cli/fio.ts'
import type { Sample } from '../../ts/cli/fio-summary.ts'
import { places } from '../compare/more-aggregates.ts'
import { cpuSeconds, run } from '../compare/processes.ts'
import type { Server } from '../compare/server.ts'
import type { Table } from '../report/section.ts'
import {
  cpu,
  extentOf,
  extentText,
  mediansOf,
  operations,
  prepare,
  type ScaleTable,
  sectionOf,
  startPair,
  write4k,
} from './point.ts'

const COUNTS = [1, 2, 3, 4]
const QUICK_COUNTS = [1, 4]

const columns: Table['columns'] = [
  { name: 'aggregates', unit: '' },
  operations('write'),
  cpu,
  { name: 'p99', unit: 'us' },
]

export const aggregatesTable: ScaleTable = {
  name: 'aggregates',
  title: 'number of aggregates under load, of four',
  run: async (settings) => {
    const { isQuick, tell } = settings
    const extent = extentOf(settings)
    const { rounds, seconds, regionByteLength } = extent
    const setup = { hasMoreAggregates: true, isOnDevices: true }
    const { server, pair } = await startPair(settings, extent, setup)
    const servers: Server[] = []
    for (const { aggregate, volume } of places) {
      await pair.inSync(aggregate)
      const { volumes } = (await pair.owner(aggregate)).engine
      if (volumes.length === 0) await pair.createVolume(volume, regionByteLength, aggregate)
      servers.push(serverOf(server, aggregate, volume))
    }
    await Promise.all(servers.map((each) => prepare(each, extent, settings)))
    const rows: number[][] = []
    for (const count of isQuick ? QUICK_COUNTS : COUNTS) {
      const samples: Sample[] = []
      for (let round = 1; round <= rounds; round += 1) {
        tell(`${count} aggregates: round ${round} of ${rounds}`)
        samples.push(await together(servers.slice(0, count), seconds))
      }
      const { iops, cpuPer100k, p99Us } = mediansOf(samples)
      rows.push([count, iops, cpuPer100k, p99Us])
    }
    const how = `${extentText(extent)}, one in each, all at once; homes alternate`
    return sectionOf(aggregatesTable, how, { columns, rows }, server)
  },
}

function serverOf(server: Server, aggregate: string, volume: string): Server {
  const pair = server.pair!
  return {
    ...server,
    name: aggregate,
    target: { uri: pair.uriOf(volume, aggregate) },
    settle: () => pair.cp('now', aggregate),
    check: () => pair.mustBeWhole(aggregate),
  }
}

/** One load on each of several volumes of a pair at the same time, as one sample. */
async function together(servers: readonly Server[], seconds: number): Promise<Sample> {
  const { pids } = servers[0]!
  const before = pids.map(cpuSeconds)
  const results = await Promise.all(servers.map(({ target }) => runFio(run, target, write4k, { seconds })))
  for (const { check, settle } of servers) {
    await check?.()
    await settle?.()
  }
  return { ...sumOf(results), cpuSeconds: pids.map((pid, node) => cpuSeconds(pid) - before[node]!) }
}

/** Rates and counts are added up; of the latencies, the worst one counts. */
export function sumOf(results: readonly FioResult[]): FioResult {
  const sum = (of: (result: FioResult) => number) => results.reduce((total, result) => total + of(result), 0)
  const worst = (of: (result: FioResult) => number) => Math.max(...results.map(of))
  return {
    iops: sum(({ iops }) => iops),
    bytesPerSecond: sum(({ bytesPerSecond }) => bytesPerSecond),
    operations: sum(({ operations }) => operations),
    p50Us: worst(({ p50Us }) => p50Us),
    p99Us: worst(({ p99Us }) => p99Us),
    p999Us: worst(({ p999Us }) => p999Us),
    maxUs: worst(({ maxUs }) => maxUs),
  }
}
