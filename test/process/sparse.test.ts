import { statSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { connect, errnoOf, type Statuses } from '../support/nbd-client.ts'
import { command, commandFlag, errno } from '../support/nbd-wire.ts'
import { durabilities, Pair } from '../support/pair.ts'
import { missing, mustRun, scratch } from '../support/program.ts'

const [KIB, MIB, TIB] = [2 ** 10, 2 ** 20, 2 ** 40]
/** Data at 1 MiB and at 40 MiB, with a hole that was trimmed out of the first. */
const steps = ['write -P 1 1M 2M', 'write -P 2 40M 64k', 'discard 1536k 256k', 'write -z 20M 4M', 'flush']
const expected = [
  [0, MIB, 'hole'],
  [MIB, 512 * KIB, 'data'],
  [1536 * KIB, 256 * KIB, 'hole'],
  [1792 * KIB, 1280 * KIB, 'data'],
  [3 * MIB, 37 * MIB, 'hole'],
  [40 * MIB, 64 * KIB, 'data'],
  [40 * MIB + 64 * KIB, 24 * MIB - 64 * KIB, 'hole'],
]

async function fill(uri: string): Promise<void> {
  await mustRun('qemu-io', ['-f', 'raw', ...steps.flatMap((step) => ['-c', step]), uri])
}

for (const durability of durabilities) {
  const skip = missing('nbdinfo', 'qemu-img', 'qemu-io', 'nbdcopy')
  t.test(`clients see where data is, before and after a takeover (${durability})`, { skip }, async (t) => {
    const pair = await Pair.start(t, { durability })
    const uri = pair.uri('vol0')
    const mapOfNbdinfo = async () => {
      const { stdout } = await mustRun('nbdinfo', ['--map', '--json', uri])
      const map = JSON.parse(stdout) as { offset: number; length: number; type: number }[]
      return map.map(({ offset, length, type }) => [offset, length, type === 3 ? 'hole' : 'data'])
    }
    const mapOfQemu = async () => {
      const { stdout } = await mustRun('qemu-img', ['map', '-f', 'raw', '--output=json', uri])
      const map = JSON.parse(stdout) as { start: number; length: number; zero: boolean }[]
      return map.map(({ start, length, zero }) => [start, length, zero ? 'hole' : 'data'])
    }
    t.same(await mapOfNbdinfo(), [[0, 64 * MIB, 'hole']], 'a new volume')
    await fill(uri)
    t.same(await mapOfNbdinfo(), expected, 'from the log')
    t.same(await mapOfQemu(), expected)
    await pair.mustCommand('cp', 'now')
    t.same(await mapOfNbdinfo(), expected, 'from the disks')
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    t.same(await mapOfNbdinfo(), expected, 'from the partner')
    t.same(await mapOfQemu(), expected)
  })
}

t.test('copies take the data and leave the holes', { skip: missing('nbdcopy', 'qemu-img') }, async (t) => {
  const pair = await Pair.start(t)
  await fill(pair.uri('vol0'))
  const [copied, converted] = ['copied', 'converted'].map((name) => path.join(scratch(t), name))
  await mustRun('nbdcopy', [pair.uri('vol0'), copied!])
  await mustRun('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', pair.uri('vol0'), converted!])
  for (const file of [copied!, converted!]) {
    const kib = (statSync(file).blocks * 512) / KIB
    t.ok(kib <= 2048 + 64 + 128, `${kib} KiB are on disk`)
    const compared = await mustRun('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file, pair.uri('vol0')])
    t.match(compared.stdout, /identical/)
  }
  await mustRun('nbdcopy', [copied!, pair.uri('vol1')])
  const { stdout } = await mustRun('nbdinfo', ['--map', '--totals', pair.uri('vol1')])
  const [data] = stdout.split('\n').filter((line) => line.includes('data'))
  t.ok(Number(data!.trim().split(/\s+/)[0]) <= 2 * MIB + 192 * KIB, 'and what is copied back is as thin')
})

const pythonSteps = `
assert h.get_structured_replies_negotiated() and h.can_df() and h.can_fast_zero()
assert h.can_meta_context("base:allocation") and h.can_multi_conn()
found = []
def extents(context, offset, entries, error):
    found.append((context, offset, entries))
h.block_status(64 * 1024 * 1024, 0, extents)
assert [entry for _, _, entries in found for entry in entries][:2] == [1 << 20, 3], found
found.clear()
h.block_status(16 << 20, 1 << 20, extents, nbd.CMD_FLAG_REQ_ONE)
assert found == [("base:allocation", 1 << 20, [512 * 1024, 0])], found
kinds = []
def chunk(buffer, offset, status, error):
    kinds.append((offset, len(buffer), status))
h.pread_structured(8192, (1 << 20) - 4096, chunk)
assert kinds == [((1 << 20) - 4096, 4096, nbd.READ_HOLE), (1 << 20, 4096, nbd.READ_DATA)], kinds
kinds.clear()
h.pread_structured(8192, (1 << 20) - 4096, chunk, nbd.CMD_FLAG_DF)
assert len(kinds) == 1, kinds
h.zero(1 << 20, 30 << 20, nbd.CMD_FLAG_FAST_ZERO)
h.zero(4096, 31 << 20, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
h.cache(4096, 0)
`

t.test(
  'libnbd agrees on everything that it can ask for',
  { skip: missing('nbdsh', 'qemu-io') },
  async (t) => {
    const pair = await Pair.start(t)
    await fill(pair.uri('vol0'))
    const contexts = 'h.add_meta_context("base:allocation")'
    const connect = `h.connect_uri("${pair.uri('vol0')}")`
    const script = ['import nbd', contexts, connect, pythonSteps].join('\n')
    // the module belongs to the Python of the distribution, whatever else is installed
    const env = { ...process.env, PATH: `/usr/bin:${process.env['PATH'] ?? ''}` }
    await mustRun('nbdsh', ['-c', script], { env })
    t.pass('every assertion held')
  },
)

t.test('with extended headers one request covers a volume of 1 TiB', async (t) => {
  const pair = await Pair.start(t)
  await pair.mustCommand('volume', 'create', 'wide', '--size', '1TiB', '--aggregate', 'castor')
  const client = await connect(`${pair.service('castor')}/wide`, { extended: true, blockStatus: true })
  t.equal(client.details.flags & 0x1080, 0x1080, 'DF, and a status may name its context')
  const zero = 3
  t.same(await client.blockStatus(0, TIB), [{ byteLength: TIB, flags: zero }])
  await client.write(TIB - 4096, Buffer.alloc(4096, 7), { fua: true })
  await client.write(5 * 2 ** 32, Buffer.alloc(4096, 8))
  const written = [
    { byteLength: 5 * 2 ** 32, flags: zero },
    { byteLength: 4096, flags: 0 },
    { byteLength: TIB - 5 * 2 ** 32 - 8192, flags: zero },
    { byteLength: 4096, flags: 0 },
  ]
  t.same(await client.blockStatus(0, TIB), written)
  t.same(await client.blockStatus(0, TIB, commandFlag.reqOne), written.slice(0, 1))
  await pair.mustCommand('cp', 'now')
  t.same(await client.blockStatus(0, TIB), written)
  t.equal((await client.read(TIB - 8192, 8192)).indexOf(7), 4096)
  await client.cache(0, TIB)
  const narrow = { command: command.blockStatus, flags: 0, offset: TIB - 4096, length: 12 }
  const payload = Buffer.from('000000000000100000000001', 'hex')
  const statuses: Statuses = new Map()
  await client.submit({ ...narrow, payload }, statuses)
  t.match(statuses.get(1), [{ byteLength: 4096 }])
  const other = Buffer.from('000000000000100000000002', 'hex')
  t.equal(errnoOf(await client.submit({ ...narrow, payload: other }).catch((e) => e)), errno.EINVAL)
  const past = { command: command.trim, flags: 0, offset: 4096, length: TIB }
  await t.rejects(client.submit(past), { message: /beyond the end of the export/ })
  await client.trim(0, TIB)
  t.same(await client.blockStatus(0, TIB), [{ byteLength: TIB, flags: zero }])
  await pair.mustCommand('cp', 'now')
  t.same(await client.blockStatus(0, TIB), [{ byteLength: TIB, flags: zero }])
  await client.writeZeroes(0, TIB, { fastZero: true })
  t.same(await client.close(), { reason: undefined, unanswered: [] })
})
