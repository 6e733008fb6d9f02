import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { isStoreError, StoreError } from '../base/errors.ts'
import type { ArbiterPort } from '../ports/arbiter.ts'
import type { ServingState } from '../ports/host.ts'
import type { EventLog } from './events.ts'
import type {
  EngineRequest,
  EngineSettings,
  EngineWorkerData,
  FromEngine,
  RequestBody,
  RequestName,
  RequestResult,
  ToEngine,
} from './messages.ts'
import type { SocketTools } from './sockets.ts'

/** What the node does with what an engine says. */
export interface EngineHostUser {
  serving(engine: EngineHost): void
  wantLink(engine: EngineHost): void
  /** the worker is gone and was not told to stop: nothing of this process can be trusted to go on */
  died(engine: EngineHost, message: string): void
}

export interface EngineHostParts {
  readonly arbiter: ArbiterPort
  readonly events: EventLog
  readonly tools: SocketTools
  readonly user: EngineHostUser
  readonly workerFile: URL
}

interface Waiting {
  readonly settle: (result: unknown, error?: StoreError) => void
  readonly timer: NodeJS.Timeout
}

/** The main thread's end of one engine worker. */
export class EngineHost {
  readonly settings: EngineSettings
  state: ServingState = { serves: false, because: 'it is starting', volumes: [] }
  linkWanted = false
  readonly #parts: EngineHostParts
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended: Promise<void>
  #requests = 0
  #wakeDescriptor = -1
  #stopping = false
  #over = false

  constructor(settings: EngineSettings, parts: EngineHostParts) {
    this.settings = settings
    this.#parts = parts
    const { port1, port2 } = new MessageChannel()
    const workerData: EngineWorkerData = { settings, port: port2 }
    this.#port = port1
    this.#worker = new Worker(parts.workerFile, { workerData, transferList: [port2], name: this.name })
    this.#port.on('message', (message: FromEngine) => this.#hear(message))
    this.#ended = new Promise((resolve) => {
      this.#worker.once('error', (error) => this.#died(error.stack ?? error.message))
      this.#worker.once('exit', (code) => {
        // its last words may still be on their way
        this.#hearRest()
        if (!this.#stopping) this.#died(`the worker ended with code ${code}`)
        this.#finish()
        resolve()
      })
    })
  }

  get name(): string {
    return this.settings.aggregate.name
  }

  get isOver(): boolean {
    return this.#over || this.#stopping
  }

  /** Queues a message and wakes the worker. Before `ready` it takes them when it first looks. */
  post(message: ToEngine): void {
    this.#port.postMessage(message)
    if (this.#wakeDescriptor >= 0 && !this.#over) this.#parts.tools.signal(this.#wakeDescriptor)
  }

  /** Rejects with the engine's StoreError, or with NOT_READY when it does not answer in time. */
  request<N extends RequestName>(
    name: N,
    body: RequestBody<N>,
    timeoutMs: number,
  ): Promise<RequestResult<N>> {
    if (this.#over) return Promise.reject(new StoreError('STOPPING', `the engine of ${this.name} has ended`))
    this.#requests += 1
    const request = this.#requests
    return new Promise((resolve, reject) => {
      const settle = (result: unknown, error?: StoreError): void => {
        clearTimeout(timer)
        this.#waiting.delete(request)
        if (error) reject(error)
        else resolve(result as RequestResult<N>)
      }
      const late = `the engine of aggregate ${this.name} has not answered '${name}' within ${timeoutMs} ms`
      const timer = setTimeout(() => settle(undefined, new StoreError('NOT_READY', late)), timeoutMs)
      this.#waiting.set(request, { settle, timer })
      this.post({ kind: 'request', request, name, body } as EngineRequest)
    })
  }

  /** Resolves when the worker has ended. */
  stop(pair: boolean): Promise<void> {
    if (!this.isOver) this.post({ kind: 'stop', pair })
    this.#stopping = true
    return this.#ended
  }

  #hearRest(): void {
    for (let next = receiveMessageOnPort(this.#port); next; next = receiveMessageOnPort(this.#port))
      this.#hear(next.message as FromEngine)
  }

  #hear(message: FromEngine): void {
    const { events, user } = this.#parts
    switch (message.kind) {
      case 'ready':
        this.#wakeDescriptor = message.wakeDescriptor
        // whatever was posted meanwhile
        return this.#parts.tools.signal(message.wakeDescriptor)
      case 'event': {
        const { level, event, text, facts } = message
        return events.add(level, event, text, {
          aggregate: this.name,
          ...(facts === undefined ? {} : { facts }),
        })
      }
      case 'serving':
        this.state = message.state
        return user.serving(this)
      case 'wantLink':
        this.linkWanted = message.wanted
        return user.wantLink(this)
      case 'answer': {
        const { error } = message
        const failure = error && new StoreError(error.code, error.message)
        return this.#waiting.get(message.request)?.settle(message.result, failure)
      }
      case 'arbiter':
        return this.#askArbiter(message)
      case 'stopped':
        return this.#finish()
      case 'died':
        return this.#died(message.message)
    }
  }

  #askArbiter(message: FromEngine & { kind: 'arbiter' }): void {
    const { arbiter } = this.#parts
    const done = (answer: Parameters<Parameters<ArbiterPort['read']>[1]>[0]): void => {
      if (!this.#over) this.post({ kind: 'arbiter', call: message.call, answer })
    }
    if (message.operation === 'read') arbiter.read(message.aggregate, done)
    else arbiter.swap(message.aggregate, message.expected, message.next, done)
  }

  #died(message: string): void {
    if (this.#over) return
    this.#finish()
    this.#parts.user.died(this, message)
  }

  /** The worker takes nothing any more. */
  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.linkWanted = false
    this.state = { serves: false, because: 'the engine has ended', volumes: [] }
    this.#parts.user.serving(this)
    this.#port.close()
    const error = new StoreError('STOPPING', `the engine of ${this.name} has ended`)
    for (const { settle } of [...this.#waiting.values()]) settle(undefined, error)
  }
}

/** What a failure says to people: expected ones in their own words, our own bugs with the stack. */
export function failureText(error: unknown): string {
  if (isStoreError(error)) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
