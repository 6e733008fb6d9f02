import t from 'tap'
import { REQUESTS_IN_FLIGHT_MAX } from '../../../ts/flow/client.ts'
import { READS_PER_CLIENT_MAX } from '../../../ts/flow/read.ts'
import { Pair } from './pair.ts'

const KIB = 1024
const nothing = new Uint8Array(0)

t.test('reads that wait for room end with their client, however often one disconnects', async (t) => {
  const pair = new Pair(16 << 20)
  for (let session = 0; session < 12; session += 1) {
    const client = pair.client()
    client.stopReading()
    for (let i = 0; i < 63; i += 1) client.read(i * 200 * KIB, 200 * KIB)
    pair.runFor(50)
    client.close()
    pair.runFor(50)
  }
  const { clients } = pair.serving.aggregate.sessions
  t.same(
    clients.map(({ reads, isFree }) => [reads, isFree]),
    clients.map(() => [0, true]),
  )
  const client = pair.client()
  t.equal(pair.answer(client, client.read(0, 4 * KIB)), 0)
})

t.test('clients that read no replies hold their own reads only, and nobody else up', async (t) => {
  const pair = new Pair(16 << 20, { connectionsMax: 16 })
  const stubborn = Array.from({ length: 12 }, () => pair.client())
  for (const client of stubborn) {
    client.stopReading()
    for (let i = 0; i < 600; i += 1) client.read(i * 4 * KIB, 200 * KIB)
  }
  pair.runFor(200)
  const held = pair.serving.aggregate.sessions.clients.map(({ reads }) => reads)
  t.ok(held.every((reads) => reads <= READS_PER_CLIENT_MAX))
  t.ok(
    held.some((reads) => reads > 50),
    'they do hold reads',
  )
  const client = pair.client()
  const data = new Uint8Array(64 * KIB).fill(7)
  t.equal(pair.answer(client, client.write(0, data)), 0)
  const cookie = client.read(0, 64 * KIB)
  t.equal(pair.answer(client, cookie), 0)
  t.same(client.data.get(cookie), data)
  for (const one of stubborn) one.close()
  pair.must('end their reads', () =>
    pair.serving.aggregate.sessions.clients.every(({ reads }) => reads === 0),
  )
})

t.test('small reads do not keep a long one from the room that it waits for', async (t) => {
  const pair = new Pair(16 << 20)
  const client = pair.client()
  const long = Array.from({ length: 4 }, (_, i) => client.read(i << 20, 240 * KIB))
  const all = [...long, ...Array.from({ length: 200 }, (_, i) => client.read(i * 4 * KIB, 64 * KIB))]
  pair.must('answer every read', () => all.every((cookie) => client.answers.get(cookie) === 0))
  t.same([...client.answers.keys()].slice(0, 4), long, 'in the order in which they were ready')
})

t.test(
  'reads of what the partner has not yet are kept back, more of them than there is memory for',
  async (t) => {
    const pair = new Pair(16 << 20, { connectionsMax: 8, linkTimeoutMs: 2000, leaseMs: 5000 })
    const clients = Array.from({ length: 4 }, () => pair.client())
    pair.runFor(10)
    const partner = pair.nodes.find((node) => node !== pair.owner)!
    partner.pause()
    const data = new Uint8Array(4 * KIB).fill(9)
    const written = clients[0]!.write(0, data)
    pair.runFor(5)
    const reads = clients.map((client) => Array.from({ length: 100 }, () => client.read(0, 4 * KIB)))
    pair.runFor(50)
    t.notOk(
      clients.some((client) => client.answers.size > 0),
      'nothing is told',
    )
    partner.resume()
    t.equal(pair.answer(clients[0]!, written), 0)
    for (const [i, client] of clients.entries()) {
      pair.must('answer all', () => reads[i]!.every((cookie) => client.answers.get(cookie) === 0))
      t.ok(reads[i]!.every((cookie) => client.data.get(cookie)!.every((byte) => byte === 9)))
    }
  },
)

t.test('a read finds its place when as many replies wait for the partner as there is room for', async (t) => {
  const pair = new Pair(1 << 20, { connectionsMax: 80, linkTimeoutMs: 4000, leaseMs: 9000 })
  const clients = Array.from({ length: 66 }, () => pair.client())
  pair.runFor(10)
  const partner = pair.nodes.find((node) => node !== pair.owner)!
  partner.pause()
  const [writer, reader] = clients as [(typeof clients)[0], (typeof clients)[0]]
  const written = writer.write(0, new Uint8Array(4 * KIB).fill(7))
  pair.runFor(5)
  for (const client of clients.slice(2)) {
    for (let i = 0; i < REQUESTS_IN_FLIGHT_MAX; i += 1) client.write(0, nothing)
  }
  pair.must('have no room', () => pair.serving.aggregate.acknowledgements.isFull)
  const [read, more] = [reader.read(0, 4 * KIB), reader.write(0, nothing)]
  pair.runFor(20)
  partner.resume()
  t.equal(pair.answer(writer, written), 0)
  t.same([pair.answer(reader, read), pair.answer(reader, more)], [0, 0])
  t.equal(reader.data.get(read)![0], 7)
})
