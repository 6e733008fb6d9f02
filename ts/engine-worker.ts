import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { systemClock } from './adapters/clock.ts'
import { NativeDisks } from './adapters/disk.ts'
import { runLoop } from './adapters/engine-loop.ts'
import { systemEntropy } from './adapters/entropy.ts'
import { NativeMemory } from './adapters/memory.ts'
import { NativeNvram } from './adapters/nvram.ts'
import { Placement } from './adapters/placement.ts'
import { NativeStream } from './adapters/stream.ts'
import { Uring } from './adapters/uring.ts'
import { StoreError } from './base/errors.ts'
import { Engine } from './engine.ts'
import type { EngineWorkerData, FromEngine, ToEngine } from './node/messages.ts'
import type { ArbiterAnswer, ArbiterPort } from './ports/arbiter.ts'
import type { HostPort } from './ports/host.ts'
import type { World } from './ports/world.ts'

/*
 * One engine in its worker thread: binds the ports to io_uring, shared memory and the main thread,
 * then turns the engine until it has stopped. The thread never returns to an event loop meanwhile.
 */
const { settings, port } = workerData as EngineWorkerData
const say = (message: FromEngine): void => port.postMessage(message)

const host: HostPort = {
  event: (level, kind, text, facts) =>
    say({ kind: 'event', level, event: kind, text, ...(facts === undefined ? {} : { facts }) }),
  serving: (state) => say({ kind: 'serving', state }),
  answer: (request, result, error) =>
    say({
      kind: 'answer',
      request,
      result,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    }),
  wantLink: (wanted) => say({ kind: 'wantLink', wanted }),
}

/** Arbiter calls go to the main thread; their answers come back as messages. */
class RemoteArbiter implements ArbiterPort {
  #calls = 0
  readonly #waiting = new Map<number, (answer: ArbiterAnswer) => void>()

  read(aggregate: string, done: (answer: ArbiterAnswer) => void): void {
    say({ kind: 'arbiter', call: this.#remember(done), operation: 'read', aggregate })
  }

  swap: ArbiterPort['swap'] = (aggregate, expected, next, done) => {
    say({ kind: 'arbiter', call: this.#remember(done), operation: 'swap', aggregate, expected, next })
  }

  answered(call: number, answer: ArbiterAnswer): void {
    const done = this.#waiting.get(call)
    this.#waiting.delete(call)
    done?.(answer)
  }

  #remember(done: (answer: ArbiterAnswer) => void): number {
    this.#calls += 1
    this.#waiting.set(this.#calls, done)
    return this.#calls
  }
}

function handle(engine: Engine, arbiter: RemoteArbiter, uring: Uring, message: ToEngine): void {
  switch (message.kind) {
    case 'client': {
      const { volume, readOnly, terms, leftover } = message
      const stream = new NativeStream(uring, message.descriptor, message.peer)
      return engine.client({ stream, volume, readOnly, terms, leftover })
    }
    case 'link': {
      const stream = new NativeStream(uring, message.descriptor, message.peer)
      return engine.link.open(stream, message.leftover, systemClock.now())
    }
    case 'request':
      return engine.request(message.request, message.name, message.body)
    case 'arbiter':
      return arbiter.answered(message.call, message.answer)
    case 'stop':
      return engine.stop({ pair: message.pair })
  }
}

function run(): void {
  const uring = new Uring()
  const arbiter = new RemoteArbiter()
  const world: World = {
    memory: new NativeMemory(),
    nvram: new NativeNvram(settings.nvramDirectory),
    disks: new NativeDisks(uring),
    clock: systemClock,
    entropy: systemEntropy,
    arbiter,
    host,
  }
  const engine = new Engine(world, settings)
  uring.onWake = () => {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      handle(engine, arbiter, uring, next.message as ToEngine)
    }
  }
  say({ kind: 'ready', wakeDescriptor: uring.wakeDescriptor })
  engine.start()
  // what was sent before the eventfd was known
  uring.onWake()
  const placement = new Placement(settings.cpu, (why) =>
    host.event('warn', 'cpu', `aggregate ${settings.aggregate.name}: ${why}`),
  )
  runLoop(engine, uring, placement, () => systemClock.now())
  say({ kind: 'stopped' })
}

try {
  run()
} catch (error) {
  // what is expected to fail has a message that says all; of a bug, its place matters
  const text = error instanceof Error && !(error instanceof StoreError) ? error.stack : undefined
  say({ kind: 'died', message: text ?? (error instanceof Error ? error.message : String(error)) })
}
port.close()
