import { GIB } from '../../ts/base/units.ts'
import { median } from '../../ts/cli/statistics.ts'
import { type BenchPair, VOLUME } from '../compare/bench-pair.ts'
import type { Table } from '../report/section.ts'
import { firstReply } from '../rows/first-reply.ts'
import {
  atPoint,
  cpu,
  extentOf,
  extentText,
  measured,
  memory,
  memoryMib,
  openingMs,
  operations,
  prepare,
  type ScaleTable,
  sectionOf,
  startPair,
  write4k,
} from './point.ts'

const COUNTS = [1, 10, 100, 1000]
const QUICK_COUNTS = [1, 10]

const columns: Table['columns'] = [
  { name: 'volumes', unit: '' },
  { name: 'create one', unit: 'ms' },
  operations('write'),
  cpu,
  { name: 'open', unit: 'ms' },
  memory,
]

export const volumesTable: ScaleTable = {
  name: 'volumes',
  title: 'number of volumes in an aggregate',
  run: async (settings) => {
    const extent = extentOf(settings)
    const { server, pair } = await startPair(settings, extent)
    await pair.deleteVolume(VOLUME)
    await warmCreation(pair)
    const loaded = { ...server, target: { uri: pair.uriOf(nameOf(0)) } }
    const rows: number[][] = []
    let before = 0
    for (const count of settings.isQuick ? QUICK_COUNTS : COUNTS) {
      const here = atPoint(settings, `${count} volumes`)
      here.tell('creating them')
      const createMs = await create(pair, before, count)
      if (before === 0) await prepare(loaded, extent, settings)
      before = count
      const { iops, cpuPer100k } = await measured(loaded, write4k, extent, here)
      here.tell('opening')
      rows.push([count, createMs, iops, cpuPer100k, await openingMs(pair, extent.rounds), memoryMib(server)])
    }
    const how = `of 1 GiB, each with a block; ${extentText(extent)}`
    return sectionOf(volumesTable, how, { columns, rows }, server)
  },
}

const nameOf = (index: number): string => `volume-${index}`

/** The first ones take several times as long: code is cold. */
async function warmCreation(pair: BenchPair): Promise<void> {
  for (let round = 1; round <= 10; round += 1) {
    await pair.createVolume('cold', GIB)
    await pair.deleteVolume('cold')
  }
}

/** Creates those with the numbers `from` to `to`, and writes a block of each. The median of a creation. */
async function create(pair: BenchPair, from: number, to: number): Promise<number> {
  const durations: number[] = []
  for (let index = from; index < to; index += 1) {
    durations.push(await pair.createVolume(nameOf(index), GIB))
    await firstReply(pair.uriOf(nameOf(index)))
  }
  return median(durations)
}
