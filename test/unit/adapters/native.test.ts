import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import {
  closeDescriptor,
  errnoName,
  flock,
  listenSocket,
  makeEventfd,
  monotonicMs,
  portOf,
  preallocate,
  signalEventfd,
  takeSocket,
} from '../../../ts/adapters/native.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { MemoryOp, STEP_WORDS } from '../../../ts/base/memory-batch.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { scratch } from './driving.ts'

const here = dirname(fileURLToPath(import.meta.url))
const { folder, remove } = scratch()
t.teardown(remove)

/** A process that listens with `listenSocket`, and names itself to everybody who connects. */
class Listener {
  readonly process: ChildProcess
  #said = ''
  #wake: () => void = () => {}

  constructor(name: string, host: string, port: number) {
    const module = pathToFileURL(join(here, '../../../ts/adapters/native.js')).href
    const source = `
      import { createServer } from 'node:net'
      import { listenSocket, portOf } from ${JSON.stringify(module)}
      let server
      const listen = () => {
        const descriptor = listenSocket(${JSON.stringify(host)}, ${port})
        server = createServer((socket) => socket.end(${JSON.stringify(name)})).listen({ fd: descriptor })
        server.once('listening', () => process.stdout.write('port ' + portOf(descriptor) + ';'))
      }
      process.stdin.on('data', (text) => {
        if (String(text) === 'close') server.close(() => process.stdout.write('closed;'))
        else listen()
      })
      listen()`
    this.process = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.process.stdout!.on('data', (text) => {
      this.#said += text
      this.#wake()
    })
  }

  /** Resolves when it has said something of this form, and forgets what it has said. */
  async heard(form: RegExp): Promise<string> {
    for (;;) {
      const found = this.#said.match(form)
      if (found) {
        this.#said = ''
        return found[1] ?? ''
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async tell(order: 'close' | 'listen'): Promise<void> {
    this.process.stdin!.write(order)
    await this.heard(order === 'close' ? /closed;/ : /port (\d+);/)
  }

  end(): void {
    this.process.kill('SIGKILL')
  }
}

function answerOf(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(port, host)
    socket.setTimeout(2000, () => socket.destroy(new Error('nobody answers')))
    socket.on('data', (piece) => {
      text += piece
    })
    socket.on('error', (error) => resolve(error.message))
    socket.on('close', () => resolve(text))
  })
}

async function answers(host: string, port: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const answer of await Promise.all(Array.from({ length: 50 }, () => answerOf(host, port)))) {
    counts[answer] = (counts[answer] ?? 0) + 1
  }
  return counts
}

function freePort(host: string): number {
  const descriptor = listenSocket(host, 0)
  const port = portOf(descriptor)
  closeDescriptor(descriptor)
  return port
}

const hosts = existsSync('/proc/net/if_inet6') ? ['127.0.0.1', '::1'] : ['127.0.0.1']
for (const host of hosts) {
  t.test(
    `of two listeners at ${host} the newest gets all connections, even if the other is stopped`,
    async (t) => {
      const port = freePort(host)
      const elsewhere = listenSocket(host === '::1' ? '::' : '127.0.0.2', port)
      const older = new Listener('older', host, port)
      await older.heard(/port (\d+);/)
      const newer = new Listener('newer', host, port)
      t.teardown(() => {
        older.end()
        newer.end()
        closeDescriptor(elsewhere)
      })
      t.equal(await newer.heard(/port (\d+);/), String(port))
      t.same(await answers(host, port), { newer: 50 })

      older.process.kill('SIGSTOP')
      t.same(await answers(host, port), { newer: 50 }, 'the older one is stopped')
      older.process.kill('SIGCONT')

      await newer.tell('close')
      t.same(await answers(host, port), { older: 50 }, 'the newer one has closed')
      await older.tell('close')
      await newer.tell('listen')
      await older.tell('listen')
      t.same(await answers(host, port), { older: 50 }, 'the older one has become the newest')
      newer.end()
      t.same(await answers(host, port), { older: 50 }, 'the other one has died')
    },
  )
}

t.test('an address that somebody else has, and one that is none, are refused by name', async (t) => {
  const { createServer } = await import('node:net')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const attempt = (host: string, port: number) => {
    try {
      closeDescriptor(listenSocket(host, port))
      return 'none'
    } catch (error) {
      return isStoreError(error) ? `${error.code}: ${error.message}` : String(error)
    }
  }
  t.match(attempt('127.0.0.1', port), new RegExp(`PORT_IN_USE: .*127.0.0.1:${port}: another process`))
  t.match(attempt('192.0.2.1', port), /PORT_IN_USE: .*192.0.2.1.*EADDRNOTAVAIL/)
  t.match(attempt('not an address', port), /PORT_IN_USE: .*EINVAL/)
  server.close()
})

t.test('a socket that is taken over stays connected, and becomes a blocking one of our own', async (t) => {
  const { createServer } = await import('node:net')
  const server = createServer((socket) => socket.pipe(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const descriptor = takeSocket(fd)
  t.not(descriptor, fd)
  socket.destroy()
  const flags = Number.parseInt(
    readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8').match(/flags:\s*(\d+)/)![1]!,
    8,
  )
  t.equal(flags & 0o4000, 0, 'O_NONBLOCK is off')
  t.equal(flags & 0o2000000, 0o2000000, 'O_CLOEXEC is on')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(await new Promise((resolve) => server.getConnections((_, count) => resolve(count))), 1)
  closeDescriptor(descriptor)
  server.close()
  t.throws(() => takeSocket(1_000_000), /EBADF/)
})

t.test('the lock of a file belongs to one open file at a time', async (t) => {
  const path = join(folder, 'lock')
  const one = openSync(path, 'w')
  const two = openSync(path, 'w')
  t.equal(flock(one), true)
  t.equal(flock(one), true, 'again, by its holder')
  t.equal(flock(two), false)
  closeSync(one)
  t.equal(flock(two), true)
  closeSync(two)
})

t.test('a file is allocated whole, keeps what it holds, and a full disk is said so', async (t) => {
  const path = join(folder, 'disk.img')
  preallocate(path, MIB)
  t.equal(statSync(path).size, MIB)
  t.ok(statSync(path).blocks * 512 >= MIB)
  preallocate(path, MIB / 2)
  t.equal(statSync(path).size, MIB, 'it does not get shorter')
  t.throws(() => preallocate(join(folder, 'missing', 'disk.img'), MIB), /missing\/disk.img.*ENOENT/)
})

t.test('an eventfd counts signals; time goes on', async (t) => {
  const descriptor = makeEventfd()
  signalEventfd(descriptor)
  signalEventfd(descriptor)
  t.match(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'), /eventfd-count:\s+2/)
  closeDescriptor(descriptor)
  const before = monotonicMs()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const tookMs = monotonicMs() - before
  t.ok(tookMs > 15 && tookMs < 2000, `${tookMs} ms`)
  t.equal(errnoName(-28), 'ENOSPC')
  t.equal(errnoName(28), 'ENOSPC')
})

function projectRoot(): string {
  let folder = here
  while (!existsSync(join(folder, 'binding.gyp')) && folder !== '/') folder = dirname(folder)
  return folder
}

const skip = projectRoot() === '/' && 'compiled to a folder outside of the project'
t.test('the generated C++ header says what the TypeScript says', { skip }, async (t) => {
  const script = join(projectRoot(), 'scripts', 'generate-format.mjs')
  const env = { ...process.env, POLLUX_DIST: join(here, '../../..') }
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8', env })
  t.equal(status, 0, stderr)
  const header = readFileSync(join(projectRoot(), 'native', 'generated', 'format.hpp'), 'utf8')
  t.match(header, `kBlockSize = ${BLOCK_SIZE};`)
  t.match(header, `kStepWords = ${STEP_WORDS};`)
  for (const number of Object.values(MemoryOp)) t.match(header, new RegExp(`kMemoryOp\\w+ = ${number};`))
})
