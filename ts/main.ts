import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hostAddresses } from './adapters/addresses.ts'
import { systemClock } from './adapters/clock.ts'
import { FileArbiter } from './adapters/file-arbiter.ts'
import {
  closeDescriptor,
  flock,
  isListenedAt,
  listenSocket,
  signalEventfd,
  socketPair,
  standbySocket,
  takeSocket,
} from './adapters/native.ts'
import { NativeNvram } from './adapters/nvram.ts'
import { readNodeConfig } from './config/node-config.ts'
import { identityText } from './format/identity.ts'
import { openApi } from './node/api-server.ts'
import { EventLog } from './node/events.ts'
import { PolluxNode } from './node/node.ts'
import { NodeLock } from './node/node-lock.ts'
import { ServiceAddresses } from './node/service-addresses.ts'
import type { SocketTools } from './node/sockets.ts'
import { TlsFiles } from './node/tls-files.ts'
import { TlsGate } from './node/tls-gate.ts'

const STOP_TIMEOUT_MS = 20_000

const tools: SocketTools = {
  takeSocket,
  socketPair,
  listenSocket,
  standbySocket,
  isListenedAt,
  closeDescriptor,
  signal: signalEventfd,
}

/** Runs one node in this process until it is told to stop. Resolves when it runs. */
export async function serve(configPath: string): Promise<void> {
  const config = readNodeConfig(configPath)
  // before anything is begun: clients could not come in with a certificate that is no good
  const tlsFiles = config.tls && new TlsFiles(config.tls)
  const lock = new NodeLock(config.apiSocket, config.node.name, flock)
  const events = new EventLog(config.node.name)
  const addresses = new ServiceAddresses(config, {
    tools: hostAddresses,
    events,
    guard: new URL('./address-guard.js', import.meta.url),
    nowMs: () => systemClock.now(),
  })
  // the lock is held, so whatever is there belongs to nobody who lives
  addresses.prepare()
  const boot = identityText(randomBytes(16))
  const arbiter = new FileArbiter(config.arbiterDirectory, boot)
  const stop = (pair: boolean): void => void stopNode(node, events, pair, () => arbiter.close())
  const node: PolluxNode = new PolluxNode(config, {
    arbiter,
    events,
    tools,
    workerFile: new URL('./engine-worker.js', import.meta.url),
    boot,
    version: version(),
    nvramPersistent: new NativeNvram(config.nvram.directory).persistent,
    tls: config.tls && tlsFiles && new TlsGate(config.tls, tlsFiles, events),
    addresses,
    died: () => endAtOnce(),
    stopAsked: (pair) => (stopsAsked === 0 ? stop(pair) : undefined),
  })
  process.on('SIGTERM', () => stop(false))
  process.on('SIGINT', () => stop(false))
  process.on('uncaughtException', (error) => {
    events.add('error', 'node-died', `the main thread has failed: ${error.stack ?? error.message}`)
    endAtOnce()
  })
  try {
    await openApi(config.apiSocket, node)
    await node.start()
  } catch (error) {
    lock.release()
    throw error
  }
}

let stopsAsked = 0

/** The first wish stops in an orderly way, within bounds; the second one ends the process at once. */
async function stopNode(
  node: PolluxNode,
  events: EventLog,
  pair: boolean,
  last: () => Promise<void>,
): Promise<void> {
  stopsAsked += 1
  if (stopsAsked === 2) {
    events.add('warn', 'node-killed', 'asked to stop a second time: ends at once')
    endAtOnce()
  }
  if (stopsAsked > 1) return
  const timer = setTimeout(() => {
    events.add('error', 'stop-timeout', `not stopped within ${STOP_TIMEOUT_MS} ms: ends at once`)
    endAtOnce()
  }, STOP_TIMEOUT_MS)
  await node.shutDown(pair)
  await last()
  clearTimeout(timer)
  process.exit(0)
}

/** Workers that are blocked in the kernel would hold up an exit, and nothing of them is to go on. */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL')
}

/** The version in package.json, wherever above the compiled file that is. */
export function version(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    try {
      const text = readFileSync(join(folder, 'package.json'), 'utf8')
      return String((JSON.parse(text) as { version: unknown }).version)
    } catch {
      if (folder === dirname(folder)) return 'unknown'
    }
  }
}
