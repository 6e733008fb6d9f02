import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { connect, connectRaw } from '../support/nbd-client.ts'
import { command, encodeRequest } from '../support/nbd-wire.ts'
import { Pair } from '../support/pair.ts'
import { until } from '../support/program.ts'

const rounds = process.env['POLLUX_LONG'] === '1' ? 200 : 20
const atOnce = 50
const together = 500

/** Ways in which a client goes away; none of them says that it will. */
const departures: readonly ((uri: string) => Promise<unknown>)[] = [
  async (uri) => (await connectRaw(uri)).destroy(),
  async (uri) => {
    const channel = await connectRaw(uri)
    await channel.take(18)
    channel.destroy()
  },
  async (uri) => (await connect(uri)).destroy(),
  async (uri) => {
    const client = await connect(uri)
    await client.write(0, Buffer.alloc(8192, 1))
    await client.destroy()
  },
  async (uri) => {
    const client = await connect(uri)
    void client.read(0, 1 << 20).catch(() => undefined)
    await client.destroy()
  },
  async (uri) => {
    const client = await connect(uri)
    const request = { command: command.write, flags: 0, cookie: 1n, offset: 0, length: 65536 }
    client.channel.send(encodeRequest(request), Buffer.alloc(1000))
    await client.destroy()
  },
]

async function comeAndGo(uri: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += atOnce) {
    const some = Array.from({ length: atOnce }, (_, i) => departures[(from + i) % departures.length]!(uri))
    await Promise.all(some)
  }
}

async function allTogether(t: Test, uri: string): Promise<void> {
  const clients = await Promise.all(Array.from({ length: together }, () => connect(uri)))
  await Promise.all(clients.map((client, i) => client.write(i * 4096, Buffer.alloc(4096, i))))
  const read = await Promise.all(clients.map((client, i) => client.read(i * 4096, 4096)))
  t.ok(
    read.every((data, i) => data.equals(Buffer.alloc(4096, i))),
    `${together} clients at once are all served`,
  )
  await Promise.all(clients.map((client) => client.destroy()))
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024

t.test('connections that come and go leave nothing behind', async (t) => {
  const pair = await Pair.start(t)
  const uri = pair.uri('vol0')
  const pid = await pair.pid('castor')
  const before = descriptorsOf(pid)
  // buffers of clients are kept for those that come later, and the heap of V8 finds its size: both count in
  await allTogether(t, uri)
  await comeAndGo(uri, 1000)
  const memoryBefore = residentMiB(pid)
  await comeAndGo(uri, rounds * atOnce)
  await allTogether(t, uri)
  await until('the descriptors are closed', () => descriptorsOf(pid) <= before, 5000)
  const grown = residentMiB(pid) - memoryBefore
  t.comment(`${rounds * atOnce} connections: ${grown.toFixed(1)} MiB on ${memoryBefore.toFixed(0)} MiB`)
  // the heap goes up and down by some 30 MiB; each connection may keep less than a buffer of any kind
  const limit = 32 + (rounds * atOnce * 6) / 1024
  t.ok(grown < limit, `memory grew by ${grown.toFixed(1)} of ${limit.toFixed(0)} MiB`)
  const client = await connect(uri)
  t.same(await client.read(4096, 4096), Buffer.alloc(4096, 1))
  await client.close()
})
