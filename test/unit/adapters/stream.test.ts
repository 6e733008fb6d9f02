import t from 'tap'
import { NativeMemory } from '../../../ts/adapters/memory.ts'
import { Uring } from '../../../ts/adapters/uring.ts'
import { Gather } from '../../../ts/base/gather.ts'
import { MIB } from '../../../ts/base/units.ts'
import { connected, ended, fillWith, gatherOf, Result, wait } from './driving.ts'

const uring = new Uring()
const memory = new NativeMemory()
/** More than the buffers of both sockets may grow to. */
const LARGE = 48 * MIB
const near = memory.allocate(LARGE)
const far = memory.allocate(LARGE)
const STRIDE = LARGE / 1024

t.test('bytes go both ways over a connection taken from node', async (t) => {
  const [client, server] = await connected(uring)
  near.bytes.set(Buffer.from('hello'))
  t.equal(
    ended(uring, (done) => client.send(gatherOf([near.address, 5]), done)),
    5,
  )
  t.equal(
    ended(uring, (done) => server.receive(far.address, 4096, done)),
    5,
  )
  t.equal(Buffer.from(far.bytes.subarray(0, 5)).toString(), 'hello')
  t.equal(
    ended(uring, (done) => server.send(gatherOf([far.address, 4]), done)),
    4,
  )
  t.equal(
    ended(uring, (done) => client.receive(near.address, 2, done)),
    2,
    'no more than was asked for',
  )
  t.equal(
    ended(uring, (done) => client.receive(near.address, 100, done)),
    2,
  )
  client.close()
  server.close()
})

t.test('a send of many pieces arrives whole and in order, though the receiver is slow', async (t) => {
  const [client, server] = await connected(uring)
  fillWith(near, 7)
  const pieces = new Gather()
  const expected: Uint8Array[] = []
  for (let i = 1023; i >= 0; i -= 1) {
    pieces.add(near.address + i * STRIDE, STRIDE - 96)
    expected.push(near.bytes.subarray(i * STRIDE, (i + 1) * STRIDE - 96))
  }
  const sent = new Result()
  client.send(pieces, sent)
  uring.turn(0, 0)
  t.equal(sent.times, 0, 'it does not fit the buffers of the socket')
  let received = 0
  while (received < pieces.byteLength) {
    received += ended(uring, (done) => server.receive(far.address + received, 1_000_000, done))
  }
  t.equal(wait(uring, sent), pieces.byteLength)
  t.ok(Buffer.concat(expected).equals(far.bytes.subarray(0, received)))
  client.close()
  server.close()
})

t.test('the end of the stream is a receive of nothing', async (t) => {
  const [client, server] = await connected(uring)
  client.close()
  t.equal(
    ended(uring, (done) => server.receive(far.address, 4096, done)),
    0,
  )
  server.close()
})

t.test('closing ends a receive and a send that are in flight', async (t) => {
  const [client, server] = await connected(uring)
  const received = new Result()
  const sent = new Result()
  client.receive(near.address, 4096, received)
  client.send(gatherOf([far.address, LARGE]), sent)
  while (uring.turn(0, 0) === 'done' && received.times + sent.times > 0);
  client.close()
  client.close()
  t.equal(wait(uring, received), 0)
  t.ok(wait(uring, sent) < 0, 'a send that was cut off is a failure')
  t.same([received.times, sent.times], [1, 1])
  t.throws(() => client.receive(near.address, 1, received), /open stream/)
  server.close()
})

t.test('sending to somebody who has gone is an error, not a signal', async (t) => {
  const [client, server] = await connected(uring)
  server.close()
  let result = 1
  for (let i = 0; i < 100 && result > 0; i += 1) {
    result = ended(uring, (done) => client.send(gatherOf([near.address, MIB]), done))
  }
  t.ok([-32, -104].includes(result), `EPIPE or ECONNRESET: ${result}`)
  client.close()
})

t.test('one receive and one send at a time', async (t) => {
  const [client, server] = await connected(uring)
  const result = new Result()
  client.receive(near.address, 1, result)
  t.throws(() => client.receive(near.address, 1, new Result()), /one receive at a time/)
  client.send(gatherOf([near.address, 1]), new Result())
  t.throws(() => client.send(gatherOf([near.address, 1]), new Result()), /one send at a time/)
  client.close()
  wait(uring, result)
  server.close()
})
