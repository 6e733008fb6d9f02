import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../cleanup.ts'
import { makeDevice } from './loop.ts'
import { startPollux } from './pollux.ts'
import { freePort, isInstalled, listens, run, startServer } from './processes.ts'
import { NotInstalled, type Server, type ServerName, type ServerOptions } from './server.ts'

type Starter = (options: ServerOptions) => Promise<Server>

export const starters: Readonly<Record<ServerName, Starter>> = {
  pollux: startPollux,
  nbdkit: startNbdkitMemory,
  'nbdkit-file': startNbdkitFile,
  'qemu-nbd': (options) => startQemuNbd('qemu-nbd', 'directsync', 'threads', 'on one disk', options),
  'qemu-none': (options) => startQemuNbd('qemu-none', 'none', 'io_uring', AFTER_FLUSH, options),
  'qemu-writeback': (options) => startQemuNbd('qemu-writeback', 'writeback', 'io_uring', CACHED, options),
  'nbd-server': startNbdServer,
  raw: startRaw,
}

/** The Debian package of each program. */
const packages: Readonly<Record<string, string>> = {
  nbdkit: 'nbdkit',
  'qemu-nbd': 'qemu-utils',
  'nbd-server': 'nbd-server',
}

const AFTER_FLUSH = 'on one disk, once flushed'
const CACHED = 'in the page cache; on one disk once flushed'

function mustBeInstalled(command: string): void {
  if (isInstalled(command)) return
  throw new NotInstalled(`${command} is not installed (Debian package ${packages[command]}): it is left out`)
}

const uriOf = (port: number): string => `nbd://127.0.0.1:${port}`

async function startNbdkit(plugin: readonly string[]): Promise<{ pids: number[]; target: { uri: string } }> {
  mustBeInstalled('nbdkit')
  const port = await freePort()
  const how = ['-f', '--exit-with-parent', '-i', '127.0.0.1', '-p', String(port), ...plugin]
  return { pids: [await startServer('nbdkit', how, port)], target: { uri: uriOf(port) } }
}

async function startNbdkitMemory({ byteLength }: ServerOptions): Promise<Server> {
  const started = await startNbdkit(['memory', String(byteLength)])
  return { kind: 'nbdkit', name: 'nbdkit memory', durability: 'none: gone with the process', ...started }
}

async function startNbdkitFile(options: ServerOptions): Promise<Server> {
  const { path, note } = deviceFor('nbdkit-file', options)
  const started = await startNbdkit(['file', path])
  return { kind: 'nbdkit-file', name: 'nbdkit file', durability: CACHED, ...started, ...noteOf(note) }
}

async function startQemuNbd(
  kind: 'qemu-nbd' | 'qemu-none' | 'qemu-writeback',
  cache: string,
  aio: string,
  durability: string,
  options: ServerOptions,
): Promise<Server> {
  mustBeInstalled('qemu-nbd')
  const { path, note } = deviceFor(kind, options)
  const port = await freePort()
  const where = ['-t', '-b', '127.0.0.1', '-p', String(port), '--shared=0']
  const how = [...where, '-f', 'raw', `--cache=${cache}`, `--aio=${aio}`, path]
  const pids = [await startServer('qemu-nbd', how, port)]
  const name = `qemu-nbd ${cache}`
  return { kind, name, durability, target: { uri: uriOf(port) }, pids, ...noteOf(note) }
}

/** It serves each connection in a child, and goes into the background by itself. */
async function startNbdServer(options: ServerOptions): Promise<Server> {
  mustBeInstalled('nbd-server')
  const { path, note } = deviceFor('nbd-server', options)
  const folder = join(options.directory, 'nbd-server')
  const port = await freePort()
  const config = join(folder, 'config')
  const pidFile = join(folder, 'pid')
  const generic = ['[generic]', 'listenaddr = 127.0.0.1', `port = ${port}`]
  const disk = ['[disk]', `exportname = ${path}`, 'flush = true', 'fua = true', '']
  writeFileSync(config, [...generic, ...disk].join('\n'))
  await run('nbd-server', ['-C', config, '-p', pidFile])
  await listens(port)
  const pid = Number(readFileSync(pidFile, 'utf8'))
  atEnd(() => process.kill(pid, 'SIGTERM'))
  const target = { uri: `${uriOf(port)}/disk` }
  return {
    kind: 'nbd-server',
    name: 'nbd-server',
    durability: CACHED,
    target,
    pids: [pid],
    settle: () => childless(pid),
    ...noteOf(note),
  }
}

/** The CPU time of children counts when they have ended, which they do when their client is gone. */
async function childless(pid: number): Promise<void> {
  const children = `/proc/${pid}/task/${pid}/children`
  for (const until = performance.now() + 2000; performance.now() < until; await sleep(10)) {
    if (readFileSync(children, 'utf8').trim() === '') return
  }
}

/** No server at all: fio itself writes to the device, with direct I/O. */
async function startRaw(options: ServerOptions): Promise<Server> {
  const { path, note } = deviceFor('raw', options)
  const durability = 'on one disk, if it has no cache'
  return { kind: 'raw', name: 'raw device', durability, target: { device: path }, pids: [], ...noteOf(note) }
}

function deviceFor(kind: string, { directory, byteLength }: ServerOptions): { path: string; note?: string } {
  const folder = join(directory, kind)
  mkdirSync(folder)
  const { path, note } = makeDevice(join(folder, 'disk'), byteLength)
  return { path, ...(note === undefined ? {} : { note: `${kind}: ${note}` }) }
}

const noteOf = (note: string | undefined): { note?: string } => (note === undefined ? {} : { note })
