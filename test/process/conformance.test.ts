import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Mode, modes } from '../support/malformed.ts'
import { connect, connectRaw, type NbdClient, NbdReplyError, OptionSession } from '../support/nbd-client.ts'
import {
  command,
  commandFlag,
  encodeExtendedRequest,
  encodeRequest,
  option,
  optionReply,
} from '../support/nbd-wire.ts'
import { Pair } from '../support/pair.ts'

/*
 * What clients count on, and that no other test shows: each in all three modes of replies.
 */
const MIB = 2 ** 20
const PAYLOAD_MAX = 32 * MIB
const GREETING_BYTE_LENGTH = 18

function open(uri: string, mode: Mode): Promise<NbdClient> {
  return connect(uri, { structured: mode === 'structured', extended: mode === 'extended' })
}

async function inAllModes(t: Test, uri: string, check: (client: NbdClient, mode: Mode) => Promise<void>) {
  for (const mode of modes) {
    const client = await open(uri, mode)
    await check(client, mode)
    t.same(
      await client.close(),
      { reason: undefined, unanswered: [] },
      `${mode}: the stream is still in step`,
    )
  }
}

t.test('a payload of 32 MiB is written, and read', async (t) => {
  const pair = await Pair.start(t, { logSize: '128MiB', size: '64MiB' })
  await inAllModes(t, pair.uri('vol0'), async (client, mode) => {
    const payload = Buffer.alloc(PAYLOAD_MAX, `all of it, with ${mode} replies, `)
    await client.write(512, payload)
    t.ok((await client.read(512, PAYLOAD_MAX)).equals(payload), mode)
  })
})

t.test('requests about nothing succeed and change nothing', async (t) => {
  const pair = await Pair.start(t)
  await inAllModes(t, pair.uri('vol0'), async (client, mode) => {
    await client.write(0, Buffer.alloc(4096, 5))
    for (const at of [0, 100, client.byteLength]) {
      t.equal((await client.read(at, 0)).length, 0, `${mode}: READ at ${at}`)
      await client.write(at, Buffer.alloc(0), { fua: true })
      await client.writeZeroes(at, 0, { noHole: true })
      await client.trim(at, 0)
      await client.cache(at, 0)
    }
    await client.flush()
    t.ok((await client.read(0, 4096)).equals(Buffer.alloc(4096, 5)), 'nothing has changed')
  })
})

t.test('FUA may be on every command', async (t) => {
  const pair = await Pair.start(t)
  await inAllModes(t, pair.uri('vol0'), async (client, mode) => {
    for (const name of ['read', 'flush', 'trim', 'cache', 'writeZeroes'] as const) {
      const request = { command: command[name], flags: commandFlag.fua, offset: 0, length: 4096 }
      await t.resolves(client.submit(request), `${mode}: ${name}`)
    }
  })
})

t.test('cookies are given back whatever they are, also if two are the same', async (t) => {
  const pair = await Pair.start(t)
  for (const mode of modes) {
    const session = await OptionSession.open(pair.uri('vol0'))
    if (mode === 'structured') await session.askForStructuredReplies()
    if (mode === 'extended') await session.askForExtendedHeaders()
    await session.go('vol0')
    const { channel } = session
    const encode = mode === 'extended' ? encodeExtendedRequest : encodeRequest
    const cookies = [0n, 2n ** 64n - 1n, 7n, 7n, 2n ** 63n]
    channel.send(...cookies.map((cookie) => encode({ command: command.flush, cookie })))
    const replyLength = mode === 'extended' ? 32 : 16
    const found: bigint[] = []
    for (const _ of cookies) found.push((await channel.take(replyLength)).readBigUInt64BE(8))
    t.same([...found].sort(), [...cookies].sort(), mode)
    channel.destroy()
  }
})

t.test('the longest trim and zeroes of 32 bits are answered at once', async (t) => {
  const pair = await Pair.start(t)
  await pair.mustCommand('volume', 'create', 'wide', '--size', '1TiB', '--aggregate', 'castor')
  const longest = 2 ** 32 - 512
  await inAllModes(t, `${pair.service('castor')}/wide`, async (client, mode) => {
    for (const at of [0, longest, 2 ** 39]) {
      await client.write(at + 8192, Buffer.alloc(8192, 9))
      const startedMs = performance.now()
      if (at === 0) await client.writeZeroes(at, longest, { fastZero: true })
      else await client.trim(at, longest)
      const tookMs = performance.now() - startedMs
      t.ok(tookMs < 1000, `${mode}: ${tookMs.toFixed(1)} ms`)
      t.ok((await client.read(at + 8192, 8192)).equals(Buffer.alloc(8192)))
    }
  })
})

t.test('every error of a structured reply says what was wrong', async (t) => {
  const pair = await Pair.start(t)
  await inAllModes(t, pair.uri('vol0'), async (client, mode) => {
    const { byteLength } = client
    const wrong: [string, Parameters<NbdClient['submit']>[0]][] = [
      ['beyond the end', { command: command.read, flags: 0, offset: byteLength, length: 1 }],
      ['beyond the end', { command: command.writeZeroes, flags: 0, offset: byteLength, length: 1 }],
      ['not known', { command: 99, flags: 0, offset: 0, length: 1 }],
      ['a flag', { command: command.trim, flags: commandFlag.reqOne, offset: 0, length: 1 }],
      ['more than 32 MiB', { command: command.read, flags: 0, offset: 0, length: PAYLOAD_MAX + 1 }],
    ]
    for (const [words, request] of wrong) {
      const error = await client.submit(request).catch((one: Error) => one)
      if (!(error instanceof NbdReplyError)) return t.fail(`${mode}: ${words}: no error`) as never
      if (mode !== 'simple') t.match(error.message, words, `${mode}: ${words}`)
    }
  })
})

t.test('a handshake has ten seconds, a session all the time that it likes', async (t) => {
  const pair = await Pair.start(t)
  const idle = await connect(pair.uri('vol0'))
  const silent = await connectRaw(pair.uri('vol0'), 20_000)
  const startedMs = performance.now()
  t.equal((await silent.takeRest()).length, GREETING_BYTE_LENGTH)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs > 9000 && tookMs < 15_000, `it ended after ${tookMs.toFixed(0)} ms`)
  t.equal((await idle.read(0, 512)).length, 512)
  await idle.close()
})

t.test('while the pair is taken down, clients in the handshake hear that', async (t) => {
  const pair = await Pair.start(t, { logSize: '128MiB' })
  const client = await connect(pair.uri('vol0'))
  // the last consistency point has something to do
  for (let at = 0; at < 48; at += 1) await client.write(at * MIB, Buffer.alloc(MIB, 1))
  const served = client.disconnected
  // each may ask for so much only
  const sessions: OptionSession[] = []
  for (let i = 0; i < 16; i += 1) sessions.push(await OptionSession.open(pair.uri('vol0')))
  const stopped = pair.down()
  const heard: number[] = []
  for (let asked = 0; asked < 60 * sessions.length && heard.at(-1) !== optionReply.errShutdown; asked += 1) {
    const answer = await sessions[asked % sessions.length]!.ask(option.list).catch(() => undefined)
    if (answer === undefined) break
    heard.push(answer.last.kind)
    await sleep(4)
  }
  t.equal(heard.at(-1), optionReply.errShutdown, `after ${heard.length - 1} lists`)
  await stopped
  t.match(await served, { unanswered: [] }, 'and who was served had no error')
})
