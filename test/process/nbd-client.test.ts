import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  connect,
  connectRaw,
  errnoOf,
  info,
  list,
  NbdDisconnected,
  type NbdTarget,
} from '../support/nbd-client.ts'
import { command, encodeClientFlags, encodeOption, errno } from '../support/nbd-wire.ts'

const isInstalled = spawnSync('nbdkit', ['--version']).status === 0
const skip = isInstalled ? false : 'nbdkit is not installed'

/** An nbdkit that serves 64 MiB of memory; it ends with the test. */
async function startNbdkit(t: Test, ...more: string[]): Promise<{ target: NbdTarget; kill: () => void }> {
  const directory = mkdtempSync(path.join(tmpdir(), 'nbd-client-'))
  const [socket, pidFile] = [path.join(directory, 'socket'), path.join(directory, 'pid')]
  const flags = more.filter((word) => word.startsWith('-'))
  const parameters = more.filter((word) => !word.startsWith('-'))
  const where = ['-f', '--exit-with-parent', '-U', socket, '-P', pidFile]
  const server = spawn('nbdkit', [...where, ...flags, 'memory', '64M', ...parameters], { stdio: 'ignore' })
  t.teardown(() => {
    server.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })
  for (let tries = 0; !existsSync(pidFile); tries += 1) {
    if (tries > 500) throw new Error('nbdkit does not start')
    await sleep(10)
  }
  return { target: `nbd+unix:///?socket=${socket}`, kill: () => server.kill('SIGKILL') }
}

for (const structured of [true, false]) {
  t.test(`all commands, with ${structured ? 'structured' : 'simple'} replies`, { skip }, async (t) => {
    const { target } = await startNbdkit(t)
    const client = await connect(target, { structured })
    t.equal(client.structured, structured)
    t.equal(client.byteLength, 64 * 1024 * 1024)
    const data = Buffer.alloc(100_000, 'pattern')
    await client.write(12_345, data, { fua: true })
    await client.flush()
    t.ok((await client.read(12_345, data.length)).equals(data), 'what was written is read')
    await client.writeZeroes(12_345, 1000, { noHole: true })
    await client.trim(20_000, 5000)
    await client.cache(0, 4096)
    const after = await client.read(12_345, data.length)
    t.ok(after.subarray(0, 1000).every((byte) => byte === 0))
    t.ok(after.subarray(1000, 7655).equals(data.subarray(1000, 7655)))
    t.same(await client.close(), { reason: undefined, unanswered: [] })
  })
}

t.test('many requests in flight each get their own answer', { skip }, async (t) => {
  const { target } = await startNbdkit(t, '--threads=8')
  const client = await connect(target)
  const places = Array.from({ length: 200 }, (_, index) => index)
  await Promise.all(places.map((place) => client.write(place * 4096, Buffer.alloc(4096, place + 1))))
  const read = places.map((place) => client.read(place * 4096, 4096))
  t.equal(client.inFlight, 200)
  const blocks = await Promise.all(read)
  t.ok(blocks.every((block, place) => block.equals(Buffer.alloc(4096, place + 1))))
  await client.close()
})

t.test('an error answer rejects that request, and the session lives on', { skip }, async (t) => {
  const { target } = await startNbdkit(t, '-r')
  const client = await connect(target)
  t.equal(errnoOf(await client.write(0, Buffer.alloc(512)).catch((error) => error)), errno.EPERM)
  const past = { command: command.read, flags: 0, offset: 64 * 1024 * 1024, length: 512 }
  t.equal(errnoOf(await client.submit(past).catch((error) => error)), errno.EINVAL)
  t.equal((await client.read(0, 512)).length, 512)
  await client.close()
})

t.test('a disconnect tells which requests have no answer, in order', { skip }, async (t) => {
  const { target, kill } = await startNbdkit(t, '--filter=delay', 'rdelay=60')
  const client = await connect(target)
  await client.write(0, Buffer.alloc(512))
  const [first, second] = [client.read(0, 512), client.read(4096, 512)]
  await sleep(100)
  kill()
  const { unanswered } = await client.disconnected
  t.match(unanswered, [{ offset: 0 }, { offset: 4096 }])
  await t.rejects(first, NbdDisconnected)
  await t.rejects(second, NbdDisconnected)
  await t.rejects(client.flush(), NbdDisconnected, 'and nothing more can be asked')
  await t.rejects(connect(target), 'nor is there a new session')
})

t.test('exports are listed and described, and the old way in works', { skip }, async (t) => {
  const { target } = await startNbdkit(t)
  t.match(await list(target), [{ name: '' }])
  t.equal((await info(target)).byteLength, 64 * 1024 * 1024)
  const client = await connect(target, { oldWay: true, structured: false })
  await client.write(5, Buffer.from('x'))
  t.equal((await client.read(5, 1)).toString(), 'x')
  await client.destroy()
})

t.test('garbage can be sent, and what the server says to it is seen', { skip }, async (t) => {
  const { target } = await startNbdkit(t)
  const channel = await connectRaw(target)
  t.equal((await channel.take(18)).toString('latin1', 0, 8), 'NBDMAGIC')
  channel.send(encodeClientFlags(), encodeOption(4711, 'what?'))
  t.equal((await channel.take(20)).readUInt32BE(12), 0x8000_0001)
  channel.send(Buffer.alloc(64, 'garbage'))
  await channel.takeRest()
  t.equal(channel.isOver, true)
})
