import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { Context } from '../../ts/nbd/meta-context.ts'
import { Random } from '../sim/random.ts'
import { connect, type Extent, type NbdClient, type Statuses } from '../support/nbd-client.ts'
import { command, commandFlag } from '../support/nbd-wire.ts'
import { durabilities, Pair } from '../support/pair.ts'
import { missing, mustRun, scratch } from '../support/program.ts'
import { SparseModel } from '../support/sparse-model.ts'

const MIB = 2 ** 20
const BYTE_LENGTH = 16 * MIB
const contexts = ['base:allocation', 'qemu:allocation-depth']
const operations = process.env['POLLUX_LONG'] ? 2000 : 200
const rounds = process.env['POLLUX_LONG'] ? 10 : 1
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const skip = missing('nbdinfo', 'nbdcopy', 'qemu-img')

for (const durability of durabilities) {
  t.test(`every client sees a random volume as it is (${durability})`, { skip }, async (t) => {
    t.comment(`seed ${seed}`)
    const random = new Random(seed)
    const pair = await Pair.start(t, { durability, size: '16MiB' })
    const uri = pair.uri('vol0')
    const model = new SparseModel(BYTE_LENGTH)
    for (let round = 0; round < rounds; round += 1) {
      const client = await connect(uri, { extended: random.chance(0.5) })
      for (let operation = 0; operation < operations; operation += 1) await model.change(client, random)
      await client.close()
      await allAgree(t, uri, model, random, 'from the log')
      await pair.mustCommand('cp', 'now')
      await allAgree(t, uri, model, random, 'from the disks')
    }
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    await allAgree(t, uri, model, random, 'from the partner')
    await copyIn(t, pair.uri('vol0'), pair.uri('vol1'), model)
  })
}

async function allAgree(
  t: Test,
  uri: string,
  model: SparseModel,
  random: Random,
  where: string,
): Promise<void> {
  await mapsAgree(t, uri, model, where)
  await copiesAgree(t, uri, model, where)
  for (const terms of [
    { structured: false },
    { structured: true, blockStatus: contexts },
    { extended: true, blockStatus: contexts },
  ]) {
    const client = await connect(uri, terms)
    const wrong = await readsAgree(client, model, random)
    if (terms.blockStatus) wrong.push(...(await statusesAgree(client, model, random)))
    t.same(wrong, [], `${JSON.stringify(terms)} ${where}`)
    await client.close()
  }
}

async function mapsAgree(t: Test, uri: string, model: SparseModel, where: string): Promise<void> {
  const { stdout: described } = await mustRun('nbdinfo', ['--json', uri])
  const [info] = (JSON.parse(described) as { exports: Record<string, unknown>[] }).exports
  t.match(info, { 'export-size': BYTE_LENGTH, contexts, is_read_only: false, can_df: true })
  const mapOf = async (name: string) => {
    const { stdout } = await mustRun('nbdinfo', [`--map=${name}`, '--json', uri])
    return JSON.parse(stdout) as { offset: number; length: number; type: number }[]
  }
  const allocation = (await mapOf('base:allocation')).map(({ length, type }) => [length, type === 0] as const)
  t.same(model.mistakesInWhole(allocation), [], `nbdinfo --map ${where}`)
  const depth = (await mapOf('qemu:allocation-depth')).map(
    ({ length, type }) => [length, type === 1] as const,
  )
  t.same(model.mistakesInWhole(depth), [], `nbdinfo --map=qemu:allocation-depth ${where}`)
  const { stdout } = await mustRun('qemu-img', ['map', '-f', 'raw', '--output=json', uri])
  const qemu = JSON.parse(stdout) as { length: number; data: boolean; zero: boolean }[]
  t.ok(qemu.every(({ data, zero }) => data !== zero))
  const mapped = qemu.map(({ length, data }) => [length, data] as const)
  t.same(model.mistakesInWhole(mapped), [], `qemu-img map ${where}`)
}

async function copiesAgree(t: Test, uri: string, model: SparseModel, where: string): Promise<void> {
  const file = path.join(scratch(t), 'copy')
  for (const how of [['--synchronous'], [], ['--connections=4', '--requests=16']]) {
    await mustRun('nbdcopy', [...how, uri, file])
    t.ok(readFileSync(file).equals(model.bytes), `nbdcopy ${how.join(' ')} ${where}`)
  }
}

async function readsAgree(client: NbdClient, model: SparseModel, random: Random): Promise<string[]> {
  const wrong: string[] = []
  for (let read = 0; read < 100; read += 1) {
    const at = random.below(BYTE_LENGTH - 1)
    const isShort = client.structured && random.chance(0.3)
    const most = isShort ? 65536 : random.chance(0.1) ? 4 * MIB : 300_000
    const length = Math.min(1 + random.below(most), BYTE_LENGTH - at)
    const data = await client.read(at, length, isShort ? commandFlag.df : 0)
    if (!data.equals(model.bytes.subarray(at, at + length))) wrong.push(`${length} bytes at ${at}`)
  }
  return wrong
}

async function statusesAgree(client: NbdClient, model: SparseModel, random: Random): Promise<string[]> {
  const wrong: string[] = []
  for (let question = 0; question < 50; question += 1) {
    const at = random.below(BYTE_LENGTH - 1)
    const length = 1 + random.below(BYTE_LENGTH - at)
    const onlyOne = random.chance(0.3)
    const flags = onlyOne ? commandFlag.reqOne : 0
    const statuses: Statuses = new Map()
    await client.submit({ command: command.blockStatus, flags, offset: at, length }, statuses)
    const [allocation, depth] = [statuses.get(Context.ALLOCATION) ?? [], statuses.get(Context.DEPTH) ?? []]
    const told = (extents: readonly Extent[], data: number) =>
      extents.map(({ byteLength, flags: is }) => [byteLength, is === data] as const)
    wrong.push(...model.mistakesInMap(at, told(allocation, 0)), ...model.mistakesInMap(at, told(depth, 1)))
    const isEnough = statuses.size === 2 && allocation.length === depth.length && allocation.length > 0
    if (!isEnough || (onlyOne && allocation.length !== 1)) wrong.push(`${allocation.length} extents at ${at}`)
  }
  return wrong
}

/** What was copied out, copied in again, is the same, and as thin. */
async function copyIn(t: Test, from: string, to: string, model: SparseModel): Promise<void> {
  const file = path.join(scratch(t), 'image')
  writeFileSync(file, model.bytes)
  for (const how of [['--synchronous'], ['--connections=4']]) {
    await mustRun('nbdcopy', ['--flush', ...how, file, to])
    t.match((await mustRun('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', from, to])).stdout, /identical/)
    await mustRun('qemu-io', ['-f', 'raw', '-c', `discard 0 ${BYTE_LENGTH}`, to])
  }
  await mustRun('nbdcopy', ['--destination-is-zero', from, to])
  const { stdout } = await mustRun('nbdinfo', ['--map', '--totals', '--json', to])
  const data = (JSON.parse(stdout) as { type: number; size: number }[]).find(({ type }) => type === 0)
  t.ok((data?.size ?? 0) <= model.dataBlocksMax * BLOCK_SIZE, `${data?.size} bytes are data`)
}
