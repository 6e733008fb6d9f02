import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { closeDescriptor, listenSocket, portOf } from '../../../ts/adapters/native.ts'
import { type NodeConfig, parseNodeConfig } from '../../../ts/config/node-config.ts'
import { identityFromText } from '../../../ts/format/identity.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { PolluxNode } from '../../../ts/node/node.ts'
import type { ArbiterPort } from '../../../ts/ports/arbiter.ts'
import { helloBytes } from '../../support/link-hello.ts'
import { encodeClientFlags, encodeInfoData, encodeOption, option } from '../../support/nbd-wire.ts'
import { freePort, socketTools as tools } from '../../support/socket-tools.ts'

const identity = (digit: string): string => digit.repeat(32)
const workerFile = new URL('../../support/fake-engine-worker.js', import.meta.url)

function configFor(folder: string, partnerPort: number): NodeConfig {
  const aggregate = (name: string, digit: string, home: string, port: number) => `[[aggregate]]
name = "${name}"
identity = "${identity(digit)}"
home = "${home}"
disks = ["/dev/${name}"]
service = "127.0.0.1:${port}"
`
  return parseNodeConfig(
    `pair = "${identity('a')}"
node = { name = "pollux", identity = "${identity('1')}" }
partner = { name = "castor", identity = "${identity('2')}", link = "127.0.0.1:${partnerPort}" }
nvram = { directory = "${folder}" }
arbiter = { kind = "file", directory = "${folder}" }
link = { listen = "127.0.0.1:0" }
api = { socket = "${join(folder, 'pollux.sock')}" }
${aggregate('one', '3', 'pollux', freePort())}${aggregate('two', '4', 'castor', freePort())}`,
    'node.toml',
  )
}

/** A node whose engines are fakes that tell what they hear. */
async function start(t: Test, partnerPort = 1) {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-node-'))
  const config = configFor(folder, partnerPort)
  const events = new EventLog('pollux', { write: () => {} })
  const deaths: string[] = []
  const reads: string[] = []
  const arbiter: ArbiterPort = {
    read: (aggregate, done) => {
      reads.push(aggregate)
      setImmediate(() => done({ kind: 'unreachable', reason: 'a test' }))
    },
    swap: () => {},
  }
  const node = new PolluxNode(config, {
    arbiter,
    events,
    tools,
    workerFile,
    boot: identity('b'),
    version: '1.2.3',
    nvramPersistent: false,
    died: (message) => deaths.push(message),
    stopAsked: () => {},
  })
  await node.start()
  t.teardown(async () => {
    await node.shutDown(true)
    rmSync(folder, { recursive: true })
  })
  const heard = (event: string) => events.after(0).filter((it) => it.event === event)
  await until(() => node.aggregates().every(({ serves }) => serves))
  return { node, config, events, deaths, reads, heard }
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let attempt = 0; attempt < 600 && !condition(); attempt += 1) await sleep(5)
  return condition()
}

t.test('a client goes from the handshake to the engine of its volume, with all its bytes', async (t) => {
  const { config, heard } = await start(t)
  const client = connect({ ...config.aggregates[1]!.service, noDelay: true })
  let received = Buffer.alloc(0)
  client.on('data', (piece) => {
    received = Buffer.concat([received, piece])
  })
  const go = encodeOption(option.go, encodeInfoData('two-volume'))
  client.write(Buffer.concat([encodeClientFlags(), go, Buffer.from('early')]))
  t.ok(await until(() => heard('client').length === 1))
  t.match(heard('client')[0], {
    aggregate: 'two',
    facts: {
      volume: 7,
      terms: { structuredReplies: false, extendedHeaders: false, contexts: 0 },
      readOnly: false,
      leftover: Buffer.from('early').toString('hex'),
    },
  })
  client.write(' and late')
  t.ok(
    await until(() => received.toString('latin1').endsWith('early and late')),
    'the engine has the connection',
  )
  client.destroy()
})

t.test('a volume is found only at the address of its aggregate', async (t) => {
  const { config } = await start(t)
  const client = connect(config.aggregates[0]!.service)
  let text = ''
  client.on('data', (piece) => {
    text += piece.toString('latin1')
  })
  client.write(Buffer.concat([encodeClientFlags(), encodeOption(option.go, encodeInfoData('two-volume'))]))
  t.ok(await until(() => text.includes('no export "two-volume"')))
  t.ok(text.includes('this node serves "one-volume"'))
  client.destroy()
})

t.test('an address is open while an engine behind it serves', async (t) => {
  const { node, config } = await start(t)
  void node.request('one', 'cp-hold', {}, 100).catch(() => {})
  t.ok(await until(() => !node.aggregates()[0]!.serves))
  t.match(node.aggregates(), [
    { name: 'one', because: 'told so', volumes: [] },
    { name: 'two', serves: true },
  ])
  const held = connect(config.aggregates[0]!.service)
  t.teardown(() => held.destroy())
  let heard = 0
  held.on('data', (piece) => {
    heard += piece.length
  })
  await once(held, 'connect')
  await sleep(50)
  t.equal(heard, 0, 'it is held')
  t.equal((await node.status()).services[0]!.open, false)
  const other = connect(config.aggregates[1]!.service)
  await once(other, 'connect')
  other.destroy()
  void node.request('one', 'cp-resume', {}, 100).catch(() => {})
  t.ok(await until(() => node.aggregates()[0]!.serves))
  t.ok(await until(() => heard > 0), 'and greeted when the engine serves')
  const again = connect(config.aggregates[0]!.service)
  await once(again, 'connect')
  again.destroy()
})

t.test('a node that has stopped leaves nobody waiting', async (t) => {
  const { node, config } = await start(t)
  void node.request('one', 'cp-hold', {}, 100).catch(() => {})
  t.ok(await until(() => !node.aggregates()[0]!.serves))
  const held = connect(config.aggregates[0]!.service)
  await once(held, 'connect')
  held.resume()
  const dropped = once(held, 'close')
  await node.shutDown(true)
  await dropped
  for (const { service } of config.aggregates) {
    const [error] = await once(connect(service), 'error')
    t.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
  }
})

for (const pair of [true, false]) {
  const what = pair ? 'hear so when the pair stops' : 'are let go when the partner goes on'
  t.test(`clients in the handshake ${what}`, async (t) => {
    const { node, config } = await start(t)
    const client = connect({ ...config.aggregates[0]!.service, noDelay: true })
    let text = ''
    client.on('data', (piece) => {
      text += piece.toString('latin1')
    })
    client.on('error', () => {})
    await until(() => text.includes('IHAVEOPT'))
    const closed = new Promise((resolve) => client.once('close', resolve))
    const stopped = node.shutDown(pair)
    client.write(Buffer.concat([encodeClientFlags(), encodeOption(option.list)]))
    await closed
    await stopped
    t.equal(text.includes('the node is shutting down'), pair)
  })
}

t.test('requests get their own answers, failures and an end in time', async (t) => {
  const { node } = await start(t)
  const [created, deleted, silent] = await Promise.allSettled([
    node.request('one', 'volume-create', { name: 'new', size: 4096 }, 2000),
    node.request('two', 'volume-delete', { name: 'none' }, 2000),
    node.request('two', 'cp-now', {}, 60),
  ])
  t.match(created, { status: 'fulfilled', value: { volume: 9, name: 'new', size: 4096 } })
  t.match(deleted, { status: 'rejected', reason: { code: 'VOLUME_UNKNOWN', message: 'no such volume' } })
  t.match(silent, { status: 'rejected', reason: { code: 'NOT_READY', message: /'cp-now' within 60 ms/ } })
  await t.rejects(node.request('three', 'status', {}, 60), { code: 'USAGE' })
})

t.test('an engine asks the arbiter through the node, and gets its answer', async (t) => {
  const { node, reads, heard } = await start(t)
  void node.request('two', 'handover', { dryRun: false }, 100).catch(() => {})
  t.ok(await until(() => heard('arbiter').length === 1))
  t.same(reads, ['two'])
  t.match(heard('arbiter')[0], { aggregate: 'two', text: '{"kind":"unreachable","reason":"a test"}' })
})

t.test('a partner that dials reaches the engine of the aggregate that it names', async (t) => {
  const { node, heard, events } = await start(t)
  const pair = identityFromText(identity('a'))!
  const hello = helloBytes({ pair, aggregate: identityFromText(identity('4'))!, nodeName: 'castor' })
  const partner = connect({ host: '127.0.0.1', port: node.linkPort })
  partner.on('error', () => {})
  partner.write(hello)
  t.ok(await until(() => heard('link').length === 1))
  t.match(heard('link')[0], { aggregate: 'two', facts: { dialed: false } })
  t.equal((heard('link')[0]!.facts as { leftover: string }).leftover, Buffer.from(hello).toString('hex'))
  partner.destroy()
  for (const [wrong, reason] of [
    [helloBytes({ pair: identityFromText(identity('9'))! }), /another pair/],
    [helloBytes({ pair, aggregateName: 'x' }), /knows no aggregate 'x'/],
  ] as const) {
    const stranger = connect({ host: '127.0.0.1', port: node.linkPort })
    stranger.resume()
    stranger.write(wrong)
    await once(stranger, 'end')
    t.match(events.after(0).at(-1), { event: 'link-refused', text: reason })
  }
})

t.test('the node whose name comes second dials for an engine that wants a link', async (t) => {
  const descriptor = listenSocket('127.0.0.1', 0)
  t.teardown(() => closeDescriptor(descriptor))
  const { node, heard } = await start(t, portOf(descriptor))
  void node.request('one', 'log-dump', { copy: 'own', limit: 1 }, 100).catch(() => {})
  t.ok(await until(() => heard('link').length === 1))
  t.match(heard('link')[0], { aggregate: 'one', facts: { dialed: true, leftover: '' } })
})

t.test('status says what each engine says', async (t) => {
  const { node, config } = await start(t)
  const status = await node.status()
  t.match(status, {
    name: 'pollux',
    pid: process.pid,
    partner: 'castor',
    version: '1.2.3',
    api: config.apiSocket,
    state: 'running',
    services: [{ aggregates: ['one'], open: true }, { aggregates: ['two'] }],
    aggregates: [{ aggregate: 'one' }, { aggregate: 'two' }],
  })
})

t.test('why an engine died is told in its own words, though the thread has ended already', async (t) => {
  const { node, deaths } = await start(t)
  const answer = node.request('one', 'scrub-stop', {}, 2000)
  // both are here when this thread looks again
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  await t.rejects(answer, { code: 'STOPPING' })
  t.match(deaths, [/has died: its last words/])
})

t.test('an engine that dies of a bug is the end of the node', async (t) => {
  const { node, deaths, heard } = await start(t)
  const wish = { force: false, acceptDataLoss: false, reason: '', dryRun: false }
  await t.rejects(node.request('one', 'takeover', wish, 2000), { code: 'STOPPING' })
  t.match(deaths, [/the engine of aggregate one has died: Error: a bug of the engine/])
  t.equal(heard('engine-died').length, 1)
})
