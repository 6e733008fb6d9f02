import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import t from 'tap'
import { connect, errnoOf, list } from '../support/nbd-client.ts'
import { errno } from '../support/nbd-wire.ts'
import { Pair } from '../support/pair.ts'
import { missing, mustRun, run, scratch } from '../support/program.ts'

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '::1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

t.test('volumes are found over a Unix socket, IPv6, and read-only, while a node serves them', async (t) => {
  const folder = scratch(t)
  const port = await freePort()
  const socket = (node: string) => path.join(folder, `${node}.sock`)
  const pair = await Pair.start(t, {
    edit: (file, node) => {
      file.nbd = [{ listen: `unix:${socket(node)}` }]
      if (node !== 'castor') return
      file.nbd.push({ listen: `[::1]:${port}`, aggregates: ['castor'] })
      file.nbd.push({ listen: `unix:${socket('look')}`, aggregates: ['castor'], read_only: true })
    },
  })
  const local = (name: string, node: string) => `nbd+unix:///${name}?socket=${socket(node)}`
  t.same(await list(local('', 'castor')), [{ name: 'vol0', description: 'volume of aggregate castor' }])
  const client = await connect(local('vol0', 'castor'))
  const data = Buffer.alloc(1024 * 1024, 'over a Unix socket')
  await client.write(4096, data, { fua: true })
  const over6 = await connect(`nbd://[::1]:${port}/vol0`)
  t.ok((await over6.read(4096, data.length)).equals(data), 'over IPv6')
  const looking = await connect(local('vol0', 'look'))
  t.ok((await looking.read(4096, data.length)).equals(data))
  t.equal(errnoOf(await looking.trim(0, 4096).catch((error) => error)), errno.EPERM)
  t.equal(errnoOf(await looking.write(0, data).catch((error) => error)), errno.EPERM)
  if (missing('nbdinfo') === false) {
    const { stdout } = await mustRun('nbdinfo', ['--json', local('vol0', 'look')])
    t.match(JSON.parse(stdout), { exports: [{ is_read_only: true, can_trim: false, can_zero: false }] })
  }
  await pair.mustCommand('takeover', 'castor')
  await Promise.all([client, over6, looking].map(({ disconnected }) => disconnected))
  t.same((await list(local('', 'pollux'))).map(({ name }) => name).sort(), ['vol0', 'vol1'])
  await t.rejects(connect(local('vol0', 'castor')), 'a node that serves nothing takes nobody')
  const after = await connect(local('vol0', 'pollux'))
  t.ok((await after.read(4096, data.length)).equals(data), 'the partner has its own')
  await pair.inSync()
  await pair.kill('pollux')
  await pair.serving('castor', 'castor')
  t.ok((await (await connect(local('vol0', 'castor'))).read(4096, data.length)).equals(data))
  await pair.up()
  t.equal((await run('test', ['-S', socket('pollux')])).code, 0)
})
