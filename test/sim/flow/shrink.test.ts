import t from 'tap'
import { NbdError } from '../../../ts/format/nbd.ts'
import { Pair } from './pair.ts'

const KIB = 1024
const MIB = 1024 * KIB
const bytes = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

t.test(
  'a WRITE that is under way when its volume shrinks is refused, and its payload consumed',
  async (t) => {
    const pair = new Pair(16 * MIB)
    const client = pair.client()
    const write = client.beginWrite(0, 2 * MIB, bytes(512 * KIB, 1))
    pair.runFor(50)
    pair.ask('volume-resize', { name: 'v', size: MIB })
    client.more(bytes(1536 * KIB, 2))
    t.equal(pair.answer(client, write), NbdError.ENOSPC)
    t.equal(pair.answer(client, client.flush()), 0, 'the next request is found behind the payload')
    const read = client.read(MIB - 4 * KIB, 4 * KIB)
    t.equal(pair.answer(client, read), 0)
  },
)

t.test('it is refused even if the volume has grown again: what was cut off is lost', async (t) => {
  const pair = new Pair(16 * MIB)
  const client = pair.client()
  const write = client.beginWrite(0, 2 * MIB, bytes(1536 * KIB, 1))
  pair.runFor(50)
  pair.ask('volume-resize', { name: 'v', size: MIB })
  pair.ask('volume-resize', { name: 'v', size: 16 * MIB })
  client.more(bytes(512 * KIB, 1))
  t.equal(pair.answer(client, write), NbdError.ENOSPC)
})

t.test('a WRITE that stays within the new size goes on', async (t) => {
  const pair = new Pair(16 * MIB)
  const client = pair.client()
  const write = client.beginWrite(0, 2 * MIB, bytes(MIB, 1))
  pair.runFor(50)
  pair.ask('volume-resize', { name: 'v', size: 2 * MIB })
  client.more(bytes(MIB, 1))
  t.equal(pair.answer(client, write), 0)
  const read = client.read(MIB, 64 * KIB)
  t.equal(pair.answer(client, read), 0)
  t.same(client.data.get(read), bytes(64 * KIB, 1))
})
