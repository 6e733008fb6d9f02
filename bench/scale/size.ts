import { BLOCK_SIZE, GIB } from '../../ts/base/units.ts'
import { runFio } from '../../ts/cli/fio.ts'
import { median } from '../../ts/cli/statistics.ts'
import { heightFor } from '../../ts/format/block-pointer.ts'
import { VOLUME_BYTES_MAX } from '../../ts/format/volume-record.ts'
import { tidily } from '../cleanup.ts'
import { type BenchPair, VOLUME } from '../compare/bench-pair.ts'
import { readAll } from '../compare/compare.ts'
import { run } from '../compare/processes.ts'
import type { Server } from '../compare/server.ts'
import type { Table } from '../report/section.ts'
import type { RowSettings } from '../rows/row.ts'
import { writtenBetween } from '../rows/sustained.ts'
import { blocksPerWrite } from './model.ts'
import {
  atPoint,
  cpu,
  type Extent,
  extentOf,
  extentText,
  measured,
  memory,
  memoryMib,
  openingMs,
  operations,
  prepare,
  read4k,
  type ScaleTable,
  sectionOf,
  startPair,
  write4k,
} from './point.ts'

/** The last one is the largest that a volume can have: 16 TiB less a block. */
const SIZES = [GIB, 64 * GIB, 1024 * GIB, VOLUME_BYTES_MAX]
const QUICK_SIZES = [GIB, VOLUME_BYTES_MAX]
/** Over the whole volume. The log holds all of them without slowing clients down. */
const SPREAD_WRITES = 8192
const QUICK_SPREAD_WRITES = 1024
const NAME = 'volume'

const columns: Table['columns'] = [
  { name: 'size', unit: 'GiB' },
  { name: 'tree', unit: 'levels' },
  operations('write'),
  cpu,
  operations('read'),
  cpu,
  { name: 'blocks', unit: 'a write' },
  { name: 'model', unit: 'a write' },
  { name: 'open', unit: 'ms' },
  memory,
]

export const sizeTable: ScaleTable = {
  name: 'size',
  title: 'size of a volume',
  run: async (settings) => {
    const extent = extentOf(settings)
    const points: Point[] = []
    for (const byteLength of settings.isQuick ? QUICK_SIZES : SIZES) {
      const here = atPoint(settings, `${Math.round(byteLength / GIB)} GiB`)
      // each has a pair of its own: what another one has left in its memory is not counted
      points.push(await tidily(() => measureSize(byteLength, extent, here)))
    }
    const how = `${extentText(extent)}; ${spreadWrites(settings)} writes over all of it`
    const rows = points.map(({ row }) => row)
    return sectionOf(sizeTable, how, { columns, rows }, points[0]!.server)
  },
}

interface Point {
  readonly row: readonly number[]
  readonly server: Server
}

const spreadWrites = ({ isQuick }: RowSettings): number => (isQuick ? QUICK_SPREAD_WRITES : SPREAD_WRITES)

async function measureSize(byteLength: number, extent: Extent, settings: RowSettings): Promise<Point> {
  const writes = spreadWrites(settings)
  // what is read has been read before: how fast a disk is, is not the question
  const cache = settings.isQuick ? {} : { cacheByteLength: 2 * extent.regionByteLength }
  const started = await startPair(settings, extent, cache)
  const { pair } = started
  await pair.deleteVolume(VOLUME)
  await pair.createVolume(NAME, byteLength)
  const server = { ...started.server, target: { uri: pair.uriOf(NAME) } }
  await prepare(server, extent, settings)
  const written = await measured(server, write4k, extent, settings)
  await readAll(server, extent)
  const read = await measured(server, read4k, extent, settings)
  settings.tell('writes over all of it')
  const amplifications: number[] = []
  for (let round = 1; round <= extent.rounds; round += 1) amplifications.push(await spread(pair, writes))
  settings.tell('opening')
  const openMs = await openingMs(pair, extent.rounds)
  const row = [
    ...[byteLength / GIB, heightFor(byteLength / BLOCK_SIZE)],
    ...[written.iops, written.cpuPer100k, read.iops, read.cpuPer100k],
    ...[median(amplifications), blocksPerWrite(byteLength, writes), openMs, memoryMib(server)],
  ]
  return { row, server }
}

/** Blocks of the one consistency point that has all of the writes, over those of the client. */
async function spread(pair: BenchPair, writes: number): Promise<number> {
  await pair.cp('now')
  const before = (await pair.owner()).engine
  await pair.cp('hold')
  await runFio(run, { uri: pair.uriOf(NAME) }, write4k, { totalByteLength: writes * BLOCK_SIZE })
  await pair.cp('resume')
  await pair.cp('now')
  return writtenBetween(before, (await pair.owner()).engine).amplification
}
