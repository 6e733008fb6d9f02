import type { Table } from '../report/section.ts'
import {
  atPoint,
  cpu,
  extentOf,
  extentText,
  measured,
  memory,
  memoryMib,
  operations,
  prepare,
  type ScaleTable,
  sectionOf,
  startPair,
  write4k,
} from './point.ts'

const COUNTS = [1, 4, 16, 64, 256]
const QUICK_COUNTS = [1, 16]

const columns: Table['columns'] = [
  { name: 'connections', unit: '' },
  operations('write'),
  cpu,
  { name: 'p99', unit: 'us' },
  memory,
]

export const connectionsTable: ScaleTable = {
  name: 'connections',
  title: 'number of connections, each with one request under way',
  run: async (settings) => {
    const extent = extentOf(settings)
    const { server } = await startPair(settings, extent)
    await prepare(server, extent, settings)
    const rows: number[][] = []
    for (const connections of settings.isQuick ? QUICK_COUNTS : COUNTS) {
      const load = { ...write4k, name: `write 4k QD1 x${connections}`, queueDepth: 1, connections }
      const here = atPoint(settings, `${connections} connections`)
      const { iops, cpuPer100k, p99Us } = await measured(server, load, extent, here)
      rows.push([connections, iops, cpuPer100k, p99Us, memoryMib(server)])
    }
    return sectionOf(connectionsTable, extentText(extent), { columns, rows }, server)
  },
}
