import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { catalogOf, exportOf } from '../support/nbd-catalog.ts'
import { connect, connectRaw, errnoOf, info, list, OptionRefused } from '../support/nbd-client.ts'
import { type MemoryServer, startMemoryServer } from '../support/nbd-memory-server.ts'
import { command, commandFlag, encodeRequest, errno } from '../support/nbd-wire.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
const missing = (tool: string) => (spawnSync(tool, ['--version']).error ? `${tool} is not installed` : false)

const catalog = catalogOf(
  exportOf('castor', { description: 'the mortal one', byteLength: 16 * MIB }),
  exportOf('pollux', { byteLength: 8 * MIB, readOnly: true }),
)

async function serverFor(t: Test): Promise<MemoryServer & { uri: string }> {
  const server = await startMemoryServer(catalog)
  t.teardown(server.close)
  return { ...server, uri: `nbd://127.0.0.1:${server.port}` }
}

t.test('nbdinfo lists the exports as they are', { skip: missing('nbdinfo') }, async (t) => {
  const { uri } = await serverFor(t)
  const { stdout } = await run('nbdinfo', ['--list', '--json', uri])
  const listed = JSON.parse(stdout) as { exports: Record<string, unknown>[] }
  t.match(listed.exports, [
    {
      'export-name': 'castor',
      description: 'the mortal one',
      'export-size': 16 * MIB,
      is_read_only: false,
      can_multi_conn: true,
      can_flush: true,
      can_fua: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: true,
      can_cache: true,
      can_df: true,
      is_rotational: false,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
    },
    { 'export-name': 'pollux', 'export-size': 8 * MIB, is_read_only: true, can_trim: false, can_zero: false },
  ])
})

t.test(
  'nbdinfo describes one export, and fails with our words for another',
  { skip: missing('nbdinfo') },
  async (t) => {
    const { uri } = await serverFor(t)
    const { stdout } = await run('nbdinfo', ['--json', `${uri}/castor`])
    t.match(JSON.parse(stdout), { protocol: 'newstyle-fixed', TLS: false, structured: true })
    await t.rejects(run('nbdinfo', [`${uri}/helena`]), { code: 1 })
  },
)

t.test('qemu-io writes, reads, zeroes and discards', { skip: missing('qemu-io') }, async (t) => {
  const { uri } = await serverFor(t)
  const steps = ['write -P 7 4k 64k', 'write -z 8k 4k', 'discard 16k 4k', 'flush', 'read -P 7 4k 4k']
  steps.push('read -P 0 8k 4k', 'read -P 0 16k 4k', 'read -P 7 20k 48k')
  const args = steps.flatMap((step) => ['-c', step])
  const { stdout } = await run('qemu-io', ['-f', 'raw', ...args, `${uri}/castor`])
  t.notMatch(stdout, /failed|error/i)
  t.equal(stdout.match(/^(wrote|read|discard)/gm)?.length, 7)
})

t.test('nbdcopy brings back what it brought', { skip: missing('nbdcopy') }, async (t) => {
  const { uri } = await serverFor(t)
  const there = `head -c ${16 * MIB} /dev/urandom > "$0" && nbdcopy "$0" ${uri}/castor`
  const script = `${there} && nbdcopy ${uri}/castor "$0.back" && cmp "$0" "$0.back"`
  const directory = t.testdir()
  await t.resolves(run('bash', ['-c', script, `${directory}/image`]))
})

for (const structured of [true, false]) {
  const kind = structured ? 'structured' : 'simple'
  t.test(`our own client agrees with our server, with ${kind} replies`, async (t) => {
    const { uri } = await serverFor(t)
    const client = await connect(`${uri}/castor`, { structured })
    t.equal(client.structured, structured)
    await client.write(1000, Buffer.from('hello'), { fua: true })
    await client.submit({ command: command.flush, flags: 0, offset: 4096, length: 512 })
    t.equal((await client.read(1000, 5)).toString(), 'hello')
    t.equal(
      (await client.read(8192, 4096)).some((byte) => byte !== 0),
      false,
    )
    t.equal((await client.read(0, 0)).length, 0)
    const past = {
      command: command.write,
      flags: 0,
      offset: 16 * MIB - 4,
      length: 5,
      payload: Buffer.alloc(5),
    }
    t.equal(errnoOf(await client.submit(past).catch((error) => error)), errno.ENOSPC)
    const df = { command: command.read, flags: commandFlag.df, offset: 0, length: 5 }
    const answer = await client.submit(df).catch((error) => error)
    t.equal(structured ? answer.length : errnoOf(answer), structured ? 5 : errno.EINVAL)
    t.equal((await client.read(1000, 5)).toString(), 'hello', 'the stream is still in step')
    await client.close()
  })
}

t.test('errors of a read-only export come with words', async (t) => {
  const { uri } = await serverFor(t)
  const client = await connect(`${uri}/pollux`)
  await t.rejects(client.write(0, Buffer.alloc(512)), {
    errno: errno.EPERM,
    message: /the export is read-only/,
  })
  await client.close()
})

t.test('lists, descriptions and refusals arrive', async (t) => {
  const { uri } = await serverFor(t)
  t.same(await list(uri), [
    { name: 'castor', description: 'the mortal one' },
    { name: 'pollux', description: '' },
  ])
  t.match(await info(`${uri}/castor`), { byteLength: 16 * MIB, description: 'the mortal one' })
  await t.rejects(connect(`${uri}/helena`), OptionRefused)
  await t.rejects(connect(`${uri}/helena`, { oldWay: true }), { name: 'ChannelEnded' })
})

t.test('a request without its magic ends the session, and no other', async (t) => {
  const { uri, openCount } = await serverFor(t)
  const bystander = await connect(`${uri}/castor`)
  const vandal = await connect(`${uri}/castor`)
  vandal.channel.send(encodeRequest({ command: command.read, cookie: 1n, length: 512 }).fill(0, 0, 4))
  t.same(await vandal.disconnected, { reason: undefined, unanswered: [] })
  const stranger = await connectRaw(uri)
  stranger.send(Buffer.from('GET / HTTP/1.0\r\n\r\n'))
  t.equal((await stranger.takeRest()).length, 18, 'the greeting and nothing more')
  t.equal((await bystander.read(0, 512)).length, 512)
  await bystander.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(openCount(), 0, 'no socket is left behind')
})
