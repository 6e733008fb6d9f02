import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exactByteLengthText } from '../../ts/config/quantities.ts'
import { atEnd } from '../cleanup.ts'
import { freePort, run, startServer } from './processes.ts'

/** A server under load, and what an acknowledged write of it outlives. */
export interface Server {
  readonly name: string
  readonly durability: string
  readonly uri: string
  readonly pids: readonly number[]
  readonly note?: string
}

export interface ServerOptions {
  /** An empty directory on the disk that is measured. */
  readonly directory: string
  readonly byteLength: number
  readonly durability: 'pair' | 'vault'
}

export const serverNames = ['pollux', 'nbdkit', 'qemu-nbd'] as const
export type ServerName = (typeof serverNames)[number]

export const starters: Readonly<Record<ServerName, (options: ServerOptions) => Promise<Server>>> = {
  pollux: startPollux,
  nbdkit: startNbdkit,
  'qemu-nbd': startQemuNbd,
}

const commandLine = fileURLToPath(new URL('../../ts/cli/main.js', import.meta.url))

const whatSurvives = {
  pair: 'in the memory of two nodes',
  vault: 'in the memory of two nodes and on disk',
} as const

async function startPollux({ directory, byteLength, durability }: ServerOptions): Promise<Server> {
  const pair = join(directory, 'pair')
  atEnd(() => void spawnSync(process.execPath, [commandLine, 'down', '--dir', pair], { stdio: 'ignore' }))
  const how = [
    '--detach',
    '--json',
    // one plex, as the others have one copy: a second one costs the same machine its writes again
    '--shared',
    '--dir',
    pair,
    '--size',
    exactByteLengthText(byteLength),
    '--durability',
    durability,
  ]
  const answer = JSON.parse(await run(process.execPath, [commandLine, 'up', ...how])) as {
    nodes: { name: string; pid: number }[]
    volumes: { name: string; node: string; uri: string }[]
  }
  const volume = answer.volumes.find(({ name }) => name === 'vol0')
  if (!volume) throw new Error('pollux up names no volume vol0')
  // The owner first: its share of the CPU time is the interesting one.
  const nodes = answer.nodes.toSorted(
    (a, b) => Number(b.name === volume.node) - Number(a.name === volume.node),
  )
  return {
    name: `pollux ${durability}`,
    durability: whatSurvives[durability],
    uri: volume.uri,
    pids: nodes.map(({ pid }) => pid),
  }
}

async function startNbdkit({ byteLength }: ServerOptions): Promise<Server> {
  const port = await freePort()
  const how = [
    '-f',
    '--exit-with-parent',
    '-i',
    '127.0.0.1',
    '-p',
    String(port),
    'memory',
    String(byteLength),
  ]
  const pid = await startServer('nbdkit', how, port)
  const durability = 'none: gone with the process'
  return { name: 'nbdkit memory', durability, uri: `nbd://127.0.0.1:${port}`, pids: [pid] }
}

async function startQemuNbd({ directory, byteLength }: ServerOptions): Promise<Server> {
  const folder = join(directory, 'qemu-nbd')
  mkdirSync(folder)
  const file = join(folder, 'disk')
  execFileSync('fallocate', ['-l', String(byteLength), file])
  const loop = attachLoop(file)
  const port = await freePort()
  const where = ['-t', '-b', '127.0.0.1', '-p', String(port)]
  const how = [...where, '-f', 'raw', '--cache=directsync', loop.device ?? file]
  const pid = await startServer('qemu-nbd', how, port)
  return {
    name: 'qemu-nbd directsync',
    durability: 'on one disk',
    uri: `nbd://127.0.0.1:${port}`,
    pids: [pid],
    ...(loop.device ? {} : { note: `qemu-nbd serves the file itself, not a loop device: ${loop.reason}` }),
  }
}

function attachLoop(file: string): { device?: string; reason?: string } {
  if (process.getuid?.() !== 0) return { reason: 'that needs root' }
  const { status, stdout, stderr } = spawnSync('losetup', ['-f', '--show', '--direct-io=on', file], {
    encoding: 'utf8',
  })
  if (status !== 0) return { reason: (stderr ?? 'losetup is not installed').trim() }
  const device = stdout.trim()
  atEnd(() => void execFileSync('losetup', ['-d', device]))
  return { device }
}
