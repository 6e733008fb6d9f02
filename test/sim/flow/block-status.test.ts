import t, { type Test } from 'tap'
import { BLOCK_SIZE, TIB } from '../../../ts/base/units.ts'
import { Command, CommandFlag } from '../../../ts/format/nbd.ts'
import { Context, NO_CONTEXTS } from '../../../ts/nbd/meta-context.ts'
import type { SessionTerms } from '../../../ts/nbd/session-terms.ts'
import type { Extent } from '../nbd-wire.ts'
import { Random } from '../random.ts'
import { mustAsk, pairInSync, RawClient } from '../raw-client.ts'
import type { SimWorld } from '../world.ts'

const STRUCTURED: SessionTerms = {
  structuredReplies: true,
  extendedHeaders: false,
  contexts: Context.ALLOCATION | Context.DEPTH,
}
const EXTENDED: SessionTerms = { ...STRUCTURED, extendedHeaders: true }
const filled = (blocks: number, value = 7): Uint8Array => new Uint8Array(blocks * BLOCK_SIZE).fill(value)
/** No consistency point comes by itself. */
const NO_POINTS = { cpIntervalMs: 1e7, cpFillMark: 0.9 }

const lengthsOf = (extents: readonly Extent[]): number[] =>
  extents.map(({ byteLength }) => byteLength / BLOCK_SIZE)

/** What a BLOCK_STATUS with extended headers carries: how far it reaches, and contexts. */
function statusPayload(byteLength: number, named: readonly number[]): Uint8Array {
  const payload = new Uint8Array(8 + named.length * 4)
  const view = new DataView(payload.buffer)
  view.setUint32(4, byteLength)
  for (const [index, context] of named.entries()) view.setUint32(8 + index * 4, context)
  return payload
}

/** Extents as blocks: how many, and whether they hold data. */
function told(client: RawClient, first: number, count: number, flags = 0): [number, string][] {
  const extents = client.status(first * BLOCK_SIZE, count * BLOCK_SIZE, flags)
  return extents.map(({ byteLength, isZero }) => [byteLength / BLOCK_SIZE, isZero ? 'zero' : 'data'])
}

for (const terms of [STRUCTURED, EXTENDED]) {
  const headers = terms.extendedHeaders ? 'extended' : 'structured'
  t.test(`what is in the log and on the disk is told as one (${headers})`, async (t) => {
    const world = pairInSync(5, NO_POINTS)
    const client = new RawClient(world, 'v', terms)
    t.same(told(client, 0, 256), [[256, 'zero']], 'a new volume')
    client.write(10 * BLOCK_SIZE, filled(5))
    t.same(told(client, 0, 256), [
      [10, 'zero'],
      [5, 'data'],
      [241, 'zero'],
    ])
    mustAsk(world, 'cp-now', {})
    client.must(client.send(Command.TRIM, 12 * BLOCK_SIZE, BLOCK_SIZE))
    client.must(client.send(Command.WRITE_ZEROES, 0, 11 * BLOCK_SIZE))
    client.write(100 * BLOCK_SIZE, filled(1))
    const expected = [
      [11, 'zero'],
      [1, 'data'],
      [1, 'zero'],
      [2, 'data'],
      [85, 'zero'],
      [1, 'data'],
      [155, 'zero'],
    ]
    t.same(told(client, 0, 256), expected, 'a log over a tree')
    mustAsk(world, 'cp-now', {})
    t.same(told(client, 0, 256), expected, 'the tree alone')
    t.same(told(client, 0, 256, CommandFlag.REQ_ONE), expected.slice(0, 1))
    t.same(told(client, 11, 1), [[1, 'data']])
    t.same(told(client, 13, 1, CommandFlag.REQ_ONE), [[1, 'data']], 'not longer than asked for')
  })
}

t.test('bytes that are not whole blocks belong to the block that they are in', async (t) => {
  const client = new RawClient(pairInSync(6), 'v', STRUCTURED)
  client.write(2 * BLOCK_SIZE + 100, new Uint8Array(1).fill(1))
  t.same(client.status(BLOCK_SIZE + 1000, 2 * BLOCK_SIZE), [
    { byteLength: BLOCK_SIZE - 1000, isZero: true },
    { byteLength: BLOCK_SIZE, isZero: false },
    { byteLength: 1000, isZero: true },
  ])
  t.same(client.status(2 * BLOCK_SIZE + 5, 1), [{ byteLength: 1, isZero: false }])
})

t.test('each context that was selected, or that a request names, has one chunk', async (t) => {
  const world = pairInSync(12)
  const both: number[] = [Context.ALLOCATION, Context.DEPTH]
  for (const selected of [[Context.ALLOCATION], [Context.DEPTH], both]) {
    for (const terms of [STRUCTURED, EXTENDED]) {
      const client = new RawClient(world, 'v', {
        ...terms,
        contexts: selected.reduce((set, context) => set | context, 0),
      })
      client.write(2 * BLOCK_SIZE, filled(1))
      const told = client.statuses(0, 4 * BLOCK_SIZE)
      t.same([...told.keys()], selected)
      for (const extents of told.values()) t.same(lengthsOf(extents), [2, 1, 1])
      const one = client.statuses(2 * BLOCK_SIZE, 2 * BLOCK_SIZE, CommandFlag.REQ_ONE)
      for (const context of selected) t.same(lengthsOf(one.get(context)!), [1], 'one extent of each')
    }
  }
  const client = new RawClient(world, 'v', EXTENDED)
  for (const named of [[Context.DEPTH], [Context.ALLOCATION], both]) {
    const payload = statusPayload(4 * BLOCK_SIZE, named)
    const told = client.statuses(0, payload.length, CommandFlag.PAYLOAD_LEN, payload)
    t.same([...told.keys()], named, 'only those that the payload names')
  }
  t.equal(client.status(0, BLOCK_SIZE).length, 1, 'the stream is still in step')
})

t.test('who has not selected a context, or asks beyond the end, is refused', async (t) => {
  const world = pairInSync(7)
  const without = new RawClient(world, 'v', { ...STRUCTURED, contexts: NO_CONTEXTS })
  t.equal(without.must(without.send(Command.BLOCK_STATUS, 0, 4096)).error, 22)
  const client = new RawClient(world, 'v', STRUCTURED)
  t.equal(client.must(client.send(Command.BLOCK_STATUS, 1 << 20, 4096)).error, 22)
  t.equal(client.must(client.send(Command.BLOCK_STATUS, 0, 0)).error, 22)
})

/** Writes, trims and zeroes at random, and holds every status against what each block must be. */
async function wander(t: Test, world: SimWorld, client: RawClient, seed: number): Promise<void> {
  const random = new Random(seed)
  const isData = new Array<boolean>(256).fill(false)
  for (let round = 0; round < 400; round += 1) {
    const first = random.below(256)
    const count = 1 + random.below(Math.min(256 - first, random.chance(0.3) ? 100 : 5))
    const dice = random.below(10)
    if (dice < 6) client.write(first * BLOCK_SIZE, filled(count, 1 + (round % 255)))
    else if (dice < 9) {
      const command = random.chance(0.5) ? Command.TRIM : Command.WRITE_ZEROES
      client.must(client.send(command, first * BLOCK_SIZE, count * BLOCK_SIZE))
    } else mustAsk(world, 'cp-now', {})
    if (dice < 9) isData.fill(dice < 6, first, first + count)
    if (round % 4 !== 0) continue
    const seen = told(client, 0, 256).flatMap(([length, what]) => new Array(length).fill(what === 'data'))
    if (JSON.stringify(seen) !== JSON.stringify(isData))
      return t.same(seen, isData, `round ${round}`) as never
  }
  t.pass('every status was exact')
}

for (const seed of [1, 2, 3]) {
  t.test(`whatever was done to a volume, its status is exact (seed ${seed})`, async (t) => {
    const world = pairInSync(seed, seed === 1 ? NO_POINTS : {})
    await wander(t, world, new RawClient(world, 'v', seed === 2 ? EXTENDED : STRUCTURED), seed)
  })
}

t.test('an index that is large is gone through as a whole, with the same outcome', async (t) => {
  const world = pairInSync(8, { ...NO_POINTS, logPages: 4096, diskByteLength: 64 << 20 })
  mustAsk(world, 'volume-create', { name: 'wide', size: TIB })
  const client = new RawClient(world, 'wide', EXTENDED)
  const far = 200_000_000
  for (let i = 0; i < 40; i += 1) client.write((far + i * 1000) * BLOCK_SIZE, filled(2))
  client.must(client.send(Command.TRIM, (far + 500) * BLOCK_SIZE, 500_000 * BLOCK_SIZE))
  client.write((far + 7000) * BLOCK_SIZE, filled(3))
  client.write(0, filled(1))
  const end = TIB / BLOCK_SIZE
  const expected = [
    [1, 'data'],
    [far - 1, 'zero'],
    [2, 'data'],
    [6998, 'zero'],
    [3, 'data'],
    [end - far - 7003, 'zero'],
  ]
  t.same(told(client, 0, end), expected, 'all of 1 TiB in one answer, with extended headers')
  mustAsk(world, 'cp-now', {})
  t.same(told(client, 0, end), expected, 'from the tree, too')
  client.write((far + 3) * BLOCK_SIZE, filled(1))
  t.same(told(client, far, 10), [
    [2, 'data'],
    [1, 'zero'],
    [1, 'data'],
    [6, 'zero'],
  ])
})

t.test('more extents than an answer may have are told in the next one', async (t) => {
  const world = pairInSync(9, { logPages: 1024, diskByteLength: 128 << 20 })
  mustAsk(world, 'volume-create', { name: 'holey', size: 64 << 20 })
  const client = new RawClient(world, 'holey', STRUCTURED)
  for (let block = 0; block < 9000; block += 2) client.write(block * BLOCK_SIZE, filled(1))
  const first = told(client, 0, 16384)
  t.equal(first.length, 4096)
  t.ok(first.every(([length], index) => length === 1 && first[index]![1] === (index % 2 ? 'zero' : 'data')))
  t.equal(told(client, 8192, 16384 - 8192).length, 808)
})

t.test('what the partner has not yet is not told', async (t) => {
  const world = pairInSync(10, NO_POINTS)
  const client = new RawClient(world, 'v', STRUCTURED)
  client.write(0, filled(4))
  const partner = world.nodes.find((node) => node !== world.owner)!
  partner.pause()
  const trim = client.send(Command.TRIM, 0, 4 * BLOCK_SIZE)
  const status = client.send(Command.BLOCK_STATUS, 0, 4 * BLOCK_SIZE)
  world.runFor(50)
  t.same([client.replies.has(trim), client.replies.has(status)], [false, false])
  partner.resume()
  client.must(trim)
  client.must(status)
})

t.test('reads tell zeroes as holes, and are the same bytes', async (t) => {
  for (const terms of [STRUCTURED, EXTENDED]) {
    const world = pairInSync(11, NO_POINTS)
    const client = new RawClient(world, 'v', terms)
    client.write(BLOCK_SIZE, filled(1, 1))
    client.write(4 * BLOCK_SIZE, filled(2, 2))
    const expected = new Uint8Array(10 * BLOCK_SIZE)
    expected.fill(1, BLOCK_SIZE, 2 * BLOCK_SIZE)
    expected.fill(2, 4 * BLOCK_SIZE, 6 * BLOCK_SIZE)
    for (const [offset, length, pieces] of [
      [0, 10 * BLOCK_SIZE, 5],
      [100, 2 * BLOCK_SIZE, 1],
      [BLOCK_SIZE + 1, BLOCK_SIZE - 1, 1],
      [2 * BLOCK_SIZE, 2 * BLOCK_SIZE, 1],
      [2 * BLOCK_SIZE + 5, 10, 1],
      [BLOCK_SIZE + 4000, 2 * BLOCK_SIZE, 2],
      [6 * BLOCK_SIZE - 1, BLOCK_SIZE + 2, 2],
    ] as const) {
      client.pieces = 0
      t.same(client.read(offset, length), expected.subarray(offset, offset + length))
      t.equal(client.pieces, pieces, `${offset}+${length}`)
    }
    client.pieces = 0
    const whole = client.must(client.send(Command.READ, 0, 10 * BLOCK_SIZE, undefined, CommandFlag.DF))
    t.same([whole.data, client.pieces], [expected, 1], 'DF: one chunk')
    const long = client.must(client.send(Command.READ, 0, 1 << 20, undefined, CommandFlag.DF))
    t.equal(long.error, 75, 'a chunk has a limit')
  }
})
