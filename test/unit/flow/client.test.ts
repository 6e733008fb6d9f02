import t from 'tap'
import {
  Client,
  Progress,
  REQUESTS_IN_FLIGHT_MAX,
  type Server,
  WORK_PER_CLIENT,
} from '../../../ts/flow/client.ts'
import { refusals } from '../../../ts/nbd/errors.ts'
import { PLAIN_TERMS, type SessionTerms } from '../../../ts/nbd/session-terms.ts'
import { command, commandFlag, encodeRequest } from '../../support/nbd-wire.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { StreamTwin } from '../partner/stream-twin.ts'

const VOLUME_BYTES = 1024 * 1024

/** Executes what it is told to, notes what came, and drives its client as the aggregate does. */
class Rig implements Server {
  readonly memory = new MemoryTwin()
  readonly client = new Client(0, this, this.memory)
  stream = new StreamTwin(this.memory)
  readonly executed: string[] = []
  readonly ends: string[] = []
  /** answers, as hexadecimal text */
  heard = ''
  /** answers nothing while true: requests stay in flight */
  holds = false
  stalls = false
  #isReady = false

  open(leftover: Uint8Array = new Uint8Array(0), readOnly = false, more: Partial<SessionTerms> = {}): void {
    this.stream = new StreamTwin(this.memory)
    this.stream.tamper = (bytes) => {
      this.heard += Buffer.from(bytes).toString('hex')
    }
    const [{ stream }, terms] = [this, { ...PLAIN_TERMS, ...more }]
    this.client.open({ stream, volume: 3, byteLength: VOLUME_BYTES, readOnly, terms, leftover })
  }

  execute(client: Client): Progress {
    const { request } = client
    if (this.stalls) return Progress.STALLED
    if (request.command === command.write) {
      const now = Math.min(request.length - client.progress, client.available)
      const bytes = now === 0 ? new Uint8Array(0) : this.memory.at(client.payloadAddress, now)
      if (now > 0) this.executed.push(`payload ${now} ${bytes[0]}..${bytes[now - 1]}`)
      client.consume(now)
      client.progress += now
      if (client.progress < request.length) return Progress.MORE
    }
    this.executed.push(`${request.command} at ${request.offset}, ${request.length}`)
    if (!this.holds) client.reply(request)
    return Progress.DONE
  }

  touch(): void {}

  ready(): void {
    this.#isReady = true
  }

  gone(_client: Client, reason: string): void {
    this.ends.push(reason)
  }

  turn(): void {
    if (this.#isReady) {
      this.#isReady = false
      this.client.work = 0
      this.client.parse()
    }
    this.client.rearm()
    this.stream.step()
  }

  hear(...parts: Uint8Array[]): void {
    for (const part of parts) this.stream.deliver(part)
    for (let i = 0; i < 12; i += 1) this.turn()
  }
}

const to = (cookieLow: number) => ({ cookieHigh: 0, cookieLow, offsetHigh: 0, offsetLow: 0 })
const simple = (cookie: number, error = 0) =>
  `67446698${error.toString(16).padStart(8, '0')}${cookie.toString(16).padStart(16, '0')}`
const flush = (cookie: number) => encodeRequest({ command: command.flush, cookie: BigInt(cookie) })
const write = (cookie: number, offset: number, length: number) =>
  Buffer.concat([
    encodeRequest({ command: command.write, cookie: BigInt(cookie), offset, length }),
    Buffer.alloc(length, cookie),
  ])

t.test('requests are executed in order, and all answers of a turn leave in one send', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.hear(write(1, 4096, 8192), flush(2), write(3, 0, 512))
  t.same(rig.executed, [
    'payload 8192 1..1',
    '1 at 4096, 8192',
    '3 at 0, 0',
    'payload 512 3..3',
    '1 at 0, 512',
  ])
  t.equal(rig.heard, simple(1) + simple(2) + simple(3))
  t.equal(rig.stream.sends, 1)
  t.equal(rig.client.inFlight, 0)
})

t.test('how the stream is cut changes nothing', async (t) => {
  for (const mouthful of [1, 27, 29, 5000]) {
    const rig = new Rig()
    rig.open()
    rig.stream.mouthful = mouthful
    const all = Buffer.concat([flush(1), write(2, 4096, 100), flush(3)])
    rig.stream.deliver(all)
    for (let i = 0; i < (all.length / mouthful) * 2 + 20; i += 1) rig.turn()
    t.equal(rig.heard, simple(1) + simple(2) + simple(3), `${mouthful} bytes at a time`)
    t.equal(rig.executed.at(-2), '1 at 4096, 100')
  }
})

t.test('bytes that came with the handshake are requests, too', async (t) => {
  const rig = new Rig()
  rig.open(flush(9).subarray(0, 20))
  rig.hear(flush(9).subarray(20))
  t.equal(rig.heard, simple(9))
})

t.test('a refused request is answered and its payload thrown away', async (t) => {
  const rig = new Rig()
  rig.open()
  const beyond = write(1, VOLUME_BYTES - 512, 600_000)
  rig.hear(beyond, flush(2))
  for (let i = 0; i < 20; i += 1) rig.turn()
  t.equal(rig.heard, simple(1, 28) + simple(2))
  t.same(rig.executed, ['3 at 0, 0'])
  const readOnly = new Rig()
  readOnly.open(new Uint8Array(0), true)
  readOnly.hear(write(1, 0, 4096), flush(2))
  t.equal(readOnly.heard, simple(1, 1) + simple(2))
})

t.test('what the server refuses half way is answered once, and the rest thrown away', async (t) => {
  const rig = new Rig()
  rig.open()
  const first = write(1, 0, 8192)
  rig.execute = (client) => {
    if (client.request.command !== command.write) {
      client.reply(client.request)
      return Progress.DONE
    }
    if (client.progress === 0) {
      client.consume(4096)
      client.progress = 4096
      return Progress.MORE
    }
    return client.refuse(refusals.FULL)
  }
  rig.hear(first.subarray(0, 28 + 4096))
  rig.hear(first.subarray(28 + 4096, 28 + 5000))
  rig.hear(first.subarray(28 + 5000), flush(2))
  t.equal(rig.heard, simple(1, 28) + simple(2))
})

t.test('with structured replies a failed read is no simple reply, a failed write has words', async (t) => {
  const rig = new Rig()
  rig.open(new Uint8Array(0), false, { structuredReplies: true })
  const beyond = { offset: VOLUME_BYTES, length: 512 }
  rig.hear(
    encodeRequest({ command: command.read, cookie: 1n, ...beyond }),
    encodeRequest({ command: command.trim, cookie: 2n, ...beyond }),
    flush(3),
  )
  const [header, error, text] = [
    '668e33ef00018001',
    '00000016',
    'the request reaches beyond the end of the export',
  ]
  t.match(rig.heard, new RegExp(`^${header}0000000000000001.{8}${error}`))
  t.ok(rig.heard.includes(Buffer.from(text).toString('hex')))
  t.ok(rig.heard.endsWith(simple(3)))
})

t.test('a stalled request is tried again, and nothing overtakes it', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.stalls = true
  rig.hear(write(1, 0, 100), flush(2))
  t.same([rig.heard, rig.executed], ['', []])
  rig.stalls = false
  rig.hear()
  t.equal(rig.heard, '', 'nobody woke it')
  rig.client.waiter.wake()
  rig.hear()
  t.equal(rig.heard, simple(1) + simple(2))
})

t.test('a long simple read keeps others waiting, and lets them go on', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.client.isExclusive = true
  rig.hear(flush(1))
  t.equal(rig.heard, '')
  rig.client.isExclusive = false
  rig.ready()
  rig.hear()
  t.equal(rig.heard, simple(1))
})

t.test('requests in flight are bounded, and those beyond wait in the stream', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.holds = true
  for (let cookie = 1; cookie <= REQUESTS_IN_FLIGHT_MAX + 10; cookie += 1) rig.stream.deliver(flush(cookie))
  rig.hear()
  t.equal(rig.client.inFlight, REQUESTS_IN_FLIGHT_MAX)
  rig.holds = false
  for (let cookie = 1; cookie <= REQUESTS_IN_FLIGHT_MAX; cookie += 1) rig.client.reply(to(cookie))
  rig.hear()
  t.equal(rig.heard.length / 32, REQUESTS_IN_FLIGHT_MAX + 10)
  t.ok(rig.heard.endsWith(simple(REQUESTS_IN_FLIGHT_MAX + 10)))
  t.throws(() => rig.client.reply(to(1)), /answered once/)
})

t.test('a turn takes up a bounded number of requests, and the next one goes on', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.stream.deliver(Buffer.concat(Array.from({ length: 2 * WORK_PER_CLIENT }, (_, i) => flush(i + 1))))
  const byTurn: number[] = []
  for (let turn = 0; turn < 40; turn += 1) {
    const before = rig.executed.length
    rig.turn()
    if (rig.executed.length > before) byTurn.push(rig.executed.length - before)
  }
  t.same(
    byTurn.filter((count) => count > WORK_PER_CLIENT),
    [],
  )
  t.ok(byTurn.length >= 2)
  t.equal(rig.executed.length, 2 * WORK_PER_CLIENT)
})

t.test('a disconnect is polite: what is in flight is answered first', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.holds = true
  rig.hear(flush(1), encodeRequest({ command: command.disconnect, cookie: 2n }), flush(3))
  t.same([rig.ends, rig.client.isOpen], [[], true])
  rig.client.reply(to(1))
  rig.hear()
  t.equal(rig.heard, simple(1), 'and nothing behind it is executed')
  t.same(rig.ends, ['the client disconnected'])
  t.ok(rig.stream.isClosed)
})

t.test('what is no request ends the session', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.hear(flush(1), Buffer.alloc(28, 65))
  t.same(rig.ends, ['it sent something that is no NBD request'])
  const huge = new Rig()
  huge.open()
  const length = 65 * 1024 * 1024
  huge.hear(encodeRequest({ command: command.write, cookie: 1n, length, flags: commandFlag.fua }))
  t.same(huge.ends, ['it announced a payload that is too large'])
})

t.test('a client that goes away, and one that is dropped, end once', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.turn()
  rig.stream.close()
  rig.hear()
  t.same(rig.ends, ['the client closed the connection'])
  rig.client.drop('again')
  t.equal(rig.ends.length, 1)
  t.ok(rig.client.isFree)
})

t.test('what a dropped session has not answered is in flight no more', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.holds = true
  rig.hear(flush(1), flush(2))
  t.equal(rig.client.inFlight, 2)
  rig.client.drop('the node gives the volume back')
  t.equal(rig.client.inFlight, 0)
})

t.test('a slot serves the next session when nothing of the last is under way', async (t) => {
  const rig = new Rig()
  rig.open()
  rig.holds = true
  rig.hear(write(1, 0, 100), flush(2).subarray(0, 10))
  const { session } = rig.client
  const { stream } = rig
  rig.client.rearm()
  rig.client.drop('the node gives the volume back')
  t.throws(() => rig.open(), /one session at a time/)
  for (let i = 0; i < 3; i += 1) stream.step()
  t.ok(rig.client.isFree)
  rig.holds = false
  rig.open()
  t.equal(rig.client.session, session + 1)
  t.equal(rig.client.inFlight, 0)
  rig.hear(flush(5))
  t.equal(rig.heard, simple(5), 'nothing of the last session is left')
})
