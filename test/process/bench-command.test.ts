import { mkdirSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { startNbdkit } from '../support/nbdkit.ts'
import { type Ended, mustRun, pollux, scratch } from '../support/program.ts'

const tiny = ['--rounds', '1', '--seconds', '1']

interface Report {
  readonly load: string
  readonly servers: readonly { server: string; iops: number; ratios: Record<string, number> }[]
}
const reportsOf = ({ stdout }: Ended): Report[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Report)

t.test('servers are compared by loads that read, and keep what they hold', async (t) => {
  const uris = [await startNbdkit(t, 'pattern', '64M'), await startNbdkit(t, 'memory', '64M')]
  const ended = await pollux(['bench', ...uris, ...tiny, '--load', 'read-4k-qd32,read-4k-qd1', '--json'])
  t.equal(ended.code, 0, ended.stderr)
  const reports = reportsOf(ended)
  t.same(
    reports.map(({ load }) => load),
    ['read 4k QD32', 'read 4k QD1'],
  )
  for (const { servers } of reports) {
    t.same(
      servers.map(({ server }) => server),
      uris,
    )
    t.ok(servers.every(({ iops }) => iops > 10))
    t.ok(servers[0]!.ratios[uris[1]!]! > 0)
  }
  const table = await pollux(['bench', uris[0]!, ...tiny, '--load', 'read 4k QD1'])
  t.match(table.stdout, /read 4k QD1\n +IOPS/)
})

t.test('what a server holds is overwritten only by those who say so, and only where they say', async (t) => {
  const uri = await startNbdkit(t, 'memory', '8M')
  await mustRun('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 8M', uri])
  const holds = (offset: string, length: string) =>
    mustRun('qemu-io', ['-f', 'raw', '-c', `read -P 7 ${offset} ${length}`, uri]).then(
      ({ stdout }) => !stdout.includes('verification failed'),
      () => false,
    )
  const refused = await pollux(['bench', uri, ...tiny, '--load', 'write-4k-qd32'])
  t.equal(refused.code, 2)
  t.match(refused.stderr, /write-4k-qd32 destroys what the servers hold.*--overwrite/)
  await pollux(['bench', uri, ...tiny, '--load', 'read-4k-qd32'])
  t.ok(await holds('0', '8M'))
  const how = ['--load', 'write-4k-qd32', '--overwrite', '--region', '4MiB', '--json']
  const written = await pollux(['bench', uri, ...tiny, ...how])
  t.equal(written.code, 0, written.stderr)
  t.notOk(await holds('0', '4M'))
  t.ok(await holds('4M', '4M'), 'behind the region, it is as it was')
})

t.test('what is wrong is said in one line, with the remedy', async (t) => {
  const cases: [string[], number, RegExp][] = [
    [[], 2, /name at least one server/],
    [['http://127.0.0.1/'], 2, /not the URI of an NBD server/],
    [['vol0'], 2, /not the URI of an NBD server/],
    [['nbd://h/a', 'nbd://h/a'], 2, /named once/],
    [['nbd://h/a', '--load', 'other'], 2, /no load is called other; see --list/],
    [['nbd://h/a', '--rounds', '0'], 2, /--rounds is a number/],
    [['nbd://h/a', '--region', '5KiB'], 2, /multiple of 128KiB/],
    [[`nbd://127.0.0.1:${await closedPort()}/a`, ...tiny], 1, /read 4k QD32: fio ended with 1: .*refused/s],
  ]
  for (const [args, code, text] of cases) {
    const ended = await pollux(['bench', ...args])
    t.equal(ended.code, code, args.join(' '))
    t.match(ended.stderr, text)
    t.notMatch(ended.stderr, /\n +at /, 'no stack')
  }
  t.match((await pollux(['bench', '--list'])).stdout, /read-4k-qd32 +only reads/)
})

t.test('without fio, or with one that knows no NBD, it says what to install', async (t) => {
  const withFio = (folder: string) =>
    pollux(['bench', 'nbd://h/a'], { env: { ...process.env, PATH: folder } })
  const none = await withFio('/nonexistent')
  t.equal(none.code, 2)
  t.match(none.stderr, /fio is not installed.*Debian package fio/)
  const lame = await withFio(fakeFio(t))
  t.equal(lame.code, 2)
  t.match(lame.stderr, /fio-9 was built without its nbd engine/)
})

/** A program of that name that has one engine, and not the one that it takes. */
function fakeFio(t: Test): string {
  const folder = path.join(scratch(t), 'bin')
  mkdirSync(folder)
  const script = '#!/bin/sh\n[ "$1" = --version ] && echo fio-9 || echo "\tio_uring"\n'
  writeFileSync(path.join(folder, 'fio'), script, { mode: 0o755 })
  return folder
}

async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
