import t from 'tap'
import { places } from '../../../bench/compare/more-aggregates.ts'
import type { RowSettings } from '../../../bench/rows/row.ts'
import { sumOf } from '../../../bench/scale/aggregates.ts'
import { blocksPerWrite } from '../../../bench/scale/model.ts'
import { extentOf, extentText, mediansOf } from '../../../bench/scale/point.ts'
import { scaleTables } from '../../../bench/scale/tables.ts'
import { listText, settingsFrom } from '../../../bench/settings.ts'
import type { FioResult } from '../../../ts/cli/fio.ts'
import { VOLUME_BYTES_MAX } from '../../../ts/format/volume-record.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

const result = (factor: number): FioResult => ({
  iops: 10 * factor,
  bytesPerSecond: 40 * factor,
  operations: 20 * factor,
  p50Us: factor,
  p99Us: 2 * factor,
  p999Us: 3 * factor,
  maxUs: 4 * factor,
})

t.test('a single write takes a block for each level of the tree', async (t) => {
  t.equal(blocksPerWrite(4096, 1), 1)
  t.equal(blocksPerWrite(MIB, 1), 2)
  t.equal(blocksPerWrite(GIB, 1), 4)
  t.ok(Math.abs(blocksPerWrite(VOLUME_BYTES_MAX, 1) - 5) < 1e-6)
})

t.test('blocks that are hit several times in one consistency point are written once', async (t) => {
  const few = blocksPerWrite(VOLUME_BYTES_MAX, 100)
  const many = blocksPerWrite(VOLUME_BYTES_MAX, 100_000)
  t.ok(few > many && many > 1)
  // all blocks of 1 MiB are hit, and the pointer block above them
  t.ok(Math.abs(blocksPerWrite(MIB, 100_000) - 257 / 100_000) < 1e-9)
})

t.test('what a model of random writes says is what random writes do', async (t) => {
  const [blocks, writes] = [65_536, 3000]
  let state = 1
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * blocks)
  }
  const written = Array.from({ length: writes }, random)
  const hit = [0, 8, 16].map((bits) => new Set(written.map((block) => block >>> bits)).size)
  const counted = hit.reduce((sum, count) => sum + count, 0) / writes
  t.ok(Math.abs(blocksPerWrite(blocks * 4096, writes) / counted - 1) < 0.01)
})

t.test('loads at the same time are one: rates add up, the worst latency counts', async (t) => {
  t.same(sumOf([result(1), result(3), result(2)]), {
    iops: 60,
    bytesPerSecond: 240,
    operations: 120,
    p50Us: 3,
    p99Us: 6,
    p999Us: 9,
    maxUs: 12,
  })
})

t.test('of several rounds, the median counts, with the CPU time of all processes', async (t) => {
  const samples = [1, 9, 2].map((factor) => ({ ...result(factor), cpuSeconds: [factor, 1] }))
  t.same(mediansOf(samples), { iops: 20, cpuPer100k: (3 / 40) * 100_000, p99Us: 4 })
})

t.test('what the command line says goes before what a table has by itself', async (t) => {
  const settings = { rounds: undefined, seconds: undefined, byteLength: undefined, isQuick: false }
  const asked = (more: Partial<RowSettings>) => extentOf({ ...settings, ...more } as RowSettings)
  t.same(asked({}), { rounds: 3, seconds: 3, regionByteLength: 256 * MIB })
  t.same(asked({ isQuick: true }), { rounds: 1, seconds: 1, regionByteLength: 16 * MIB })
  const given = asked({ isQuick: true, rounds: 5, seconds: 7, byteLength: MIB })
  t.equal(extentText(given), '5 x 7 s in 1 MiB of a volume')
})

t.test('aggregates are at home on the two nodes by turns, each with a volume of its own', async (t) => {
  t.same(
    places.map(({ aggregate }) => aggregate),
    ['castor', 'pollux', 'castor-2', 'pollux-2'],
  )
  t.equal(new Set(places.map(({ volume }) => volume)).size, places.length)
})

t.test('tables are chosen by name, and listed', async (t) => {
  const names = (text: string) => settingsFrom(['--scale', text]).tables.map(({ name }) => name)
  t.same(names('all'), ['size', 'volumes', 'connections', 'aggregates'])
  t.same(names('aggregates,size'), ['aggregates', 'size'])
  t.equal(settingsFrom(['--scale', 'size']).mode, 'scale')
  for (const { name, title } of scaleTables) t.match(listText(), new RegExp(`${name} +${title}`))
})

t.test('tables that cannot be are refused by name', async (t) => {
  t.throws(() => settingsFrom(['--scale', 'other']), { message: /no table is called other/ })
  t.throws(() => settingsFrom(['--scale', 'size', '--row', 'cpu']), { message: /different things/ })
  t.throws(() => settingsFrom(['--scale', 'size', '--micro']), { message: /different things/ })
  t.throws(() => settingsFrom(['--scale', 'size', '--size', '2GiB']), { message: /2GiB is more than/ })
  t.equal(settingsFrom(['--scale', 'size', '--size', '1GiB']).byteLength, GIB)
})
