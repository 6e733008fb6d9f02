import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { StoreError } from '../../../ts/base/errors.ts'
import { ControlClient } from '../../../ts/control/client.ts'
import type { AggregateView, NodeControl, NodeStatus } from '../../../ts/control/node-control.ts'
import { openApi } from '../../../ts/node/api-server.ts'

const aggregates: AggregateView[] = [
  { name: 'one', home: 'castor', serves: true, because: '', volumes: [{ name: 'data', size: 4096 }] },
  { name: 'two', home: 'pollux', serves: true, because: '', volumes: [{ name: 'other', size: 4096 }] },
  { name: 'away', home: 'pollux', serves: false, because: 'pollux owns it', volumes: [] },
]

const status = { name: 'castor', pid: 5, aggregates: [] } as unknown as NodeStatus

/** An API over a node that notes what it is asked. `fail` is the answer to the requests named there. */
async function opened(t: Test, fail: Record<string, Error> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-api-'))
  const socket = join(folder, 'castor.sock')
  const asked: unknown[] = []
  const node: NodeControl = {
    name: 'castor',
    status: async () => status,
    events: (after) => [{ number: after + 1, wallMs: 0, level: 'info', event: 'tick', text: 'tick' }],
    aggregates: () => aggregates,
    request: async (aggregate, name, body) => {
      asked.push([aggregate, name, body])
      if (fail[name]) throw fail[name]
      const isRest = 'part' in (body as object)
      const copy = 'partner'
      const next = { from: 2, through: 2 }
      const dump = isRest ? { copy, entries: [{ sequence: 2 }] } : { copy, entries: [{ sequence: 1 }], next }
      return (name === 'log-dump' ? dump : { name: 'result', epoch: 3 }) as never
    },
    stop: (pair) => asked.push(['stop', pair]),
  }
  const api = await openApi(socket, node)
  t.teardown(async () => {
    await api.close()
    rmSync(folder, { recursive: true })
  })
  return { client: new ControlClient(socket), asked, socket }
}

t.test('only the user of the node can open the socket', async (t) => {
  const { socket } = await opened(t)
  t.equal(statSync(socket).mode & 0o777, 0o600)
})

t.test('status and events come from the node', async (t) => {
  const { client } = await opened(t)
  t.same(await client.status(), status)
  t.match(await client.json('GET', '/events?after=7'), { events: [{ number: 8, event: 'tick' }] })
})

t.test('volumes are routed to the engine that has them', async (t) => {
  const { client, asked } = await opened(t)
  t.same(await client.json('GET', '/volumes'), {
    volumes: [
      { name: 'data', size: 4096, aggregate: 'one' },
      { name: 'other', size: 4096, aggregate: 'two' },
    ],
  })
  const created = await client.json('POST', '/volumes', { name: 'new', size: 8192 })
  t.match(created, { aggregate: 'one' }, 'a new one is made at home')
  await client.json('POST', '/volumes', { name: 'new', size: 8192, aggregate: 'two' })
  await client.json('PATCH', '/volumes/other', { size: 12288 })
  await client.json('PATCH', '/volumes/other', { newName: 'third' })
  await client.json('DELETE', '/volumes/data?aggregate=one')
  t.same(asked, [
    ['one', 'volume-create', { name: 'new', size: 8192 }],
    ['two', 'volume-create', { name: 'new', size: 8192 }],
    ['two', 'volume-resize', { name: 'other', size: 12288 }],
    ['two', 'volume-rename', { name: 'other', newName: 'third' }],
    ['one', 'volume-delete', { name: 'data' }],
  ])
})

t.test('a volume that is not here is named, with the aggregates that are elsewhere', async (t) => {
  const { client } = await opened(t)
  await t.rejects(client.json('DELETE', '/volumes/none'), {
    code: 'VOLUME_UNKNOWN',
    message: /no volume none; aggregate away is not served here: pollux owns it/,
  })
})

t.test('roles change for the aggregates that are meant', async (t) => {
  const { client, asked } = await opened(t)
  await client.json('POST', '/takeover', { reason: 'a test' })
  const all = await client.json('POST', '/handover', { dryRun: true })
  t.match(all, { changes: [{ aggregate: 'one', epoch: 3 }, { aggregate: 'two' }] })
  await client.json('POST', '/handover', { aggregates: ['two'] })
  t.same(asked, [
    ['away', 'takeover', { force: false, acceptDataLoss: false, reason: 'a test', dryRun: false }],
    ['one', 'handover', { dryRun: true }],
    ['two', 'handover', { dryRun: true }],
    ['two', 'handover', { dryRun: false }],
  ])
})

t.test('a failure of one aggregate is the answer, after all were asked', async (t) => {
  const { client, asked } = await opened(t, { handover: new StoreError('GIVEBACK_IMPOSSIBLE', 'no link') })
  await t.rejects(client.json('POST', '/handover', {}), { code: 'GIVEBACK_IMPOSSIBLE', message: 'no link' })
  t.equal(asked.length, 2)
})

t.test('consistency points are asked of what is served, or of one', async (t) => {
  const { client, asked } = await opened(t)
  await client.json('POST', '/cp', { action: 'now' })
  await client.json('POST', '/cp', { action: 'hold', aggregate: 'two' })
  t.same(
    asked.map((call) => (call as string[]).slice(0, 2)),
    [
      ['one', 'cp-now'],
      ['two', 'cp-now'],
      ['two', 'cp-hold'],
    ],
  )
})

t.test('the log comes as JSON lines, asked for part by part', async (t) => {
  const { client, asked } = await opened(t)
  const text = await client.text('GET', '/log?aggregate=two&copy=partner&limit=2')
  t.same(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { aggregate: 'two', sequence: 1 },
      { aggregate: 'two', sequence: 2 },
    ],
  )
  t.same(asked, [
    ['two', 'log-dump', { copy: 'partner', limit: 2 }],
    ['two', 'log-dump', { copy: 'partner', limit: 2, part: { from: 2, through: 2 } }],
  ])
})

t.test('stopping is answered before it happens', async (t) => {
  const { client, asked } = await opened(t)
  t.same(await client.json('POST', '/stop', { pair: true }), { stopping: true })
  t.same(asked, [['stop', true]])
})

t.test('what is asked wrongly is refused before the node hears of it', async (t) => {
  const { client, asked } = await opened(t)
  const wrong: ['GET' | 'POST' | 'PATCH', string, object?][] = [
    ['GET', '/nothing'],
    ['GET', '/events?after=soon'],
    ['GET', '/log?copy=both'],
    ['GET', '/log?aggregate=none'],
    ['POST', '/volumes', { name: 'a' }],
    ['POST', '/volumes', { name: 'a', size: '4096' }],
    ['POST', '/volumes', { name: 'a', size: 4096.5 }],
    ['POST', '/volumes', { name: 'a', size: 4096, colour: 'red' }],
    ['PATCH', '/volumes/data', {}],
    ['PATCH', '/volumes/data', { size: 4096, newName: 'b' }],
    ['POST', '/takeover', { aggregates: ['none'] }],
    ['POST', '/cp', { action: 'later' }],
  ]
  for (const [method, path, body] of wrong) {
    await t.rejects(
      client.json(method, path, body),
      { code: 'USAGE' },
      `${method} ${path} ${JSON.stringify(body)}`,
    )
  }
  t.same(asked, [])
})

t.test('a body that is no JSON is refused', async (t) => {
  const { socket } = await opened(t)
  const headers = { 'content-type': 'application/json' }
  const statusCode = await new Promise((resolve) => {
    const asking = request({ socketPath: socket, method: 'POST', path: '/stop', headers }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    asking.end('{"pair": tr')
  })
  t.equal(statusCode, 400)
})

t.test('a bug of the node is told as such', async (t) => {
  const { client } = await opened(t, { 'cp-now': new TypeError('a bug') })
  await t.rejects(client.json('POST', '/cp', { action: 'now' }), /TypeError: a bug/)
})

t.test('a socket that a killed node has left is replaced', async (t) => {
  const { client, socket } = await opened(t)
  await client.status()
  const second = await openApi(socket, {
    name: 'castor',
    status: async () => status,
  } as unknown as NodeControl)
  t.same(await new ControlClient(socket).status(), status)
  await second.close()
})
