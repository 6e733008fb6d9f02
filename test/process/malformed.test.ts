import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  endsHandshake,
  endsTransmission,
  type Mode,
  modes,
  refusedOptions,
  refusedRequests,
} from '../support/malformed.ts'
import { connect, connectRaw, type NbdClient, NbdReplyError } from '../support/nbd-client.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeExtendedRequest,
  encodeOption,
  encodeRequest,
  option,
} from '../support/nbd-wire.ts'
import { Pair } from '../support/pair.ts'
import { until } from '../support/program.ts'

const GREETING_BYTE_LENGTH = 18
const bySize = { server: 2, ack: 1 }
const pattern = Buffer.alloc(64 * 1024, 'what was there before')

/** A node, and a client that minds its own business and must not notice anything. */
async function stage(t: Test): Promise<{ pair: Pair; uri: string; bystander: NbdClient }> {
  const pair = await Pair.start(t)
  const bystander = await connect(pair.uri('vol0'))
  await bystander.write(0, pattern)
  return { pair, uri: pair.uri('vol0'), bystander }
}

async function isUnharmed({ bystander }: { bystander: NbdClient }): Promise<boolean> {
  return (await bystander.read(0, pattern.length)).equals(pattern)
}

function open(uri: string, mode: Mode): Promise<NbdClient> {
  return connect(uri, { structured: mode === 'structured', extended: mode === 'extended' })
}

t.test('in the handshake', async (t) => {
  const world = await stage(t)
  for (const [what, bytes] of endsHandshake()) {
    const channel = await connectRaw(world.uri)
    channel.send(bytes)
    const heard = await channel.takeRest()
    const answers = decodeOptionReplies(heard.subarray(GREETING_BYTE_LENGTH))
    const isQuiet = answers.every(({ kind }) => kind === 0x8000_0001 || kind === 1)
    t.ok(isQuiet && channel.isOver, `${what} ends the session`)
  }
  t.ok(await isUnharmed(world), 'and nobody else notices')
  for (const [what, [bytes, expected]] of refusedOptions()) {
    const channel = await connectRaw(world.uri)
    channel.send(encodeClientFlags(), bytes, encodeOption(option.list), encodeOption(option.abort))
    const answers = decodeOptionReplies((await channel.takeRest()).subarray(GREETING_BYTE_LENGTH))
    const kinds = answers.map(({ kind }) => kind)
    t.same(kinds, [expected, bySize.server, bySize.ack, bySize.ack], `${what} is refused, no more than that`)
    t.ok(answers[0]!.data.length > 0, 'with words')
  }
  t.ok(await isUnharmed(world), 'and nobody else notices')
  await world.bystander.close()
})

for (const mode of modes) {
  t.test(`in transmission, with ${mode} replies`, async (t) => {
    const world = await stage(t)
    for (const [what, bytes] of endsTransmission(mode)) {
      const client = await open(world.uri, mode)
      client.channel.send(bytes)
      t.match(await client.disconnected, { reason: undefined }, `${what} ends the session`)
    }
    const client = await open(world.uri, mode)
    for (const [what, [request, expected]] of refusedRequests(mode, client.byteLength)) {
      const answer = await client.submit(request).catch((error: Error) => error)
      const isRefused = answer instanceof NbdReplyError && answer.errno === expected
      t.ok(isRefused, `${what} is refused with error ${expected}, no more than that`)
      if (!isRefused) t.comment(String(answer))
      if (mode !== 'simple') t.match(String(answer), /error [0-9]+ \w/, 'with words')
    }
    t.ok((await client.read(0, pattern.length)).equals(pattern), 'the stream is still in step')
    await client.close()
    t.ok(await isUnharmed(world), 'and nobody else notices')
    await world.bystander.close()
  })
}

t.test('what stops in the middle changes nothing, and leaves nothing behind', async (t) => {
  const world = await stage(t)
  const { pair, uri } = world
  const { pid } = await pair.status('castor')
  const descriptors = () => readdirSync(`/proc/${pid}/fd`).length
  const before = descriptors()
  const write = { command: 1, cookie: 1n, offset: 0, length: pattern.length }
  for (const mode of modes) {
    const header = mode === 'extended' ? encodeExtendedRequest({ ...write, flags: 32 }) : encodeRequest(write)
    const whole = Buffer.concat([header, Buffer.alloc(pattern.length, 0xee)])
    for (const count of [1, 27, header.length - 1, header.length, header.length + 1, whole.length - 1]) {
      for (const how of ['destroy', 'reset'] as const) {
        const client = await open(uri, mode)
        client.channel.send(whole.subarray(0, count))
        await sleep(2)
        client.channel[how]()
        await client.disconnected
      }
    }
  }
  t.ok(await isUnharmed(world), 'nothing of it is written')
  for (const count of [0, 1, 3, 4, 5, 12, 19, 20, 25]) {
    const channel = await connectRaw(uri)
    channel.send(
      Buffer.concat([encodeClientFlags(), encodeOption(option.go, 'x'.repeat(9))]).subarray(0, count),
    )
    await sleep(2)
    channel.destroy()
  }
  await until('all of it is forgotten', async () => descriptors() <= before + 2)
  t.equal((await pair.engine('castor', 'castor')).clients, 1)
  await world.bystander.close()
})

t.test('a client that asks and does not listen costs bounded memory, and holds nobody up', async (t) => {
  const world = await stage(t)
  const deaf: NbdClient[] = []
  for (let i = 0; i < 8; i += 1) {
    const client = await open(world.uri, modes[i % 3]!)
    client.channel.socket.pause()
    for (let n = 0; n < 3000; n += 1) void client.read((n % 100) * 4096, 1024 * 1024)
    deaf.push(client)
  }
  for (let n = 0; n < 200; n += 1)
    await world.bystander.write(1024 * 1024 + n * 4096, pattern.subarray(0, 4096))
  t.ok(await isUnharmed(world), 'others are served')
  const idle = await Promise.all(Array.from({ length: 300 }, () => connectRaw(world.uri)))
  t.equal((await (await connect(world.uri)).read(0, 512)).length, 512, 'also past 300 silent handshakes')
  for (const channel of idle) channel.destroy()
  for (const client of deaf) await client.destroy()
  await world.bystander.close()
})
