import t from 'tap'
import { NbdError } from '../../../ts/format/nbd.ts'
import { Pair } from './pair.ts'

const BLOCK = 4096
const block = (byte: number): Uint8Array => new Uint8Array(BLOCK).fill(byte)
const VOLUME_BLOCKS = 16_384

/** Writes blocks in order, one after the other, until one is refused. Returns how many were not. */
function fill(pair: Pair, client: ReturnType<Pair['client']>): number {
  for (let index = 0; index < VOLUME_BLOCKS; index += 1) {
    const error = pair.answer(client, client.write(index * BLOCK, block(index)), 30_000)
    if (error === NbdError.ENOSPC) return index
    if (error !== 0) throw new Error(`write ${index} was answered with ${error}`)
  }
  return VOLUME_BLOCKS
}

t.test('an aggregate that is full refuses writes, also when nothing is left to put on disk', async (t) => {
  const pair = new Pair(VOLUME_BLOCKS * BLOCK, { cpIntervalMs: 2000 })
  const client = pair.client()
  const written = fill(pair, client)
  t.ok(written > 1000, `${written} blocks found space`)
  pair.ask('cp-now', {})
  pair.runFor(5000)
  const { image, ring } = pair.serving.aggregate
  t.equal(image.lastSequence, ring.head - 1, 'it is clean')
  t.equal(image.space.freeing, 0)
  const { generation } = image
  t.equal(pair.answer(client, client.write(BLOCK * written, block(1)), 20), NbdError.ENOSPC, 'at once')
  t.equal(image.generation, generation, 'without a consistency point that could free nothing')
  t.equal(pair.answer(client, client.trim(0, 64 * BLOCK)), 0, 'a trim always works')
})

t.test('what was trimmed is found by the next write, with nothing else going on', async (t) => {
  const pair = new Pair(VOLUME_BLOCKS * BLOCK, { cpIntervalMs: 60_000 })
  const client = pair.client()
  const written = fill(pair, client)
  t.equal(pair.answer(client, client.trim(0, 512 * BLOCK)), 0)
  pair.ask('cp-now', {})
  const { image, ring } = pair.serving.aggregate
  t.equal(image.lastSequence, ring.head - 1, 'it is clean')
  t.ok(image.space.freeing >= 512, 'but what was freed is not free yet')
  const { generation } = image
  t.equal(pair.answer(client, client.write(BLOCK * written, block(1))), 0)
  t.ok(image.generation > generation, 'an empty consistency point has freed it')
})

t.test('while consistency points are held, writers wait, and go on afterwards', async (t) => {
  const pair = new Pair(VOLUME_BLOCKS * BLOCK, { cpIntervalMs: 60_000, logPages: 1024 })
  const client = pair.client()
  const written = fill(pair, client)
  t.equal(pair.answer(client, client.trim(0, 512 * BLOCK)), 0)
  pair.ask('cp-hold', {})
  const cookie = client.write(BLOCK * written, block(1))
  t.equal(pair.answer(client, cookie, 10_000), undefined, 'it waits')
  pair.ask('cp-resume', {})
  t.equal(pair.answer(client, cookie), 0)
})
