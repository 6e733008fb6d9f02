import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ControlClient } from '../../../ts/control/client.ts'

async function server(t: Test, answer: RequestListener): Promise<ControlClient> {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-client-'))
  const socket = join(folder, 'node.sock')
  const http = createServer(answer)
  http.listen(socket)
  await once(http, 'listening')
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
    rmSync(folder, { recursive: true })
  })
  return new ControlClient(socket)
}

t.test('an answer with a code becomes the same failure here', async (t) => {
  const client = await server(t, (_, response) => {
    response.writeHead(409).end(JSON.stringify({ code: 'NOT_OWNER', message: 'pollux owns it' }))
  })
  await t.rejects(client.json('GET', '/x'), {
    name: 'StoreError',
    code: 'NOT_OWNER',
    message: 'pollux owns it',
  })
})

t.test('an answer that is no failure of ours is told as it is', async (t) => {
  const client = await server(t, (_, response) => response.writeHead(500).end('<html>'))
  await t.rejects(client.json('GET', '/x'), /nonsense: <html>/)
})

t.test('a node that is silent does not hold anybody up', async (t) => {
  const client = await server(t, () => {})
  await t.rejects(client.json('GET', '/x', undefined, 50), {
    code: 'API_UNREACHABLE',
    message: /no answer within 50 ms/,
  })
})

t.test('a node that breaks off in the middle is unreachable', async (t) => {
  const client = await server(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('{"a"')
    setTimeout(() => response.destroy(), 10)
  })
  await t.rejects(client.json('GET', '/x', undefined, 2000), { code: 'API_UNREACHABLE' })
})

t.test('a node that is not there is named by its socket', async (t) => {
  await t.rejects(new ControlClient('/nonexistent/castor.sock').status(), {
    code: 'API_UNREACHABLE',
    message: 'the node at /nonexistent/castor.sock does not answer: it is not running',
  })
  const folder = mkdtempSync(join(tmpdir(), 'pollux-client-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'file.sock'), '')
  await t.rejects(new ControlClient(join(folder, 'file.sock')).status(), { code: 'API_UNREACHABLE' })
})
