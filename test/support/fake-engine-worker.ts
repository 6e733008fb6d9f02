import { read } from 'node:fs'
import { Socket } from 'node:net'
import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { makeEventfd } from '../../ts/adapters/native.ts'
import type { EngineWorkerData, FromEngine, ToEngine } from '../../ts/node/messages.ts'

/*
 * A worker that speaks the messages of an engine: it says what it hears as events, serves one volume,
 * and echoes what clients send. Like an engine it looks for messages only when its eventfd was signalled.
 */
const { settings, port } = workerData as EngineWorkerData
const say = (message: FromEngine): void => port.postMessage(message)
const sockets = new Set<Socket>()
const STOP_MS = 100
let stopped = false

const wakeDescriptor = makeEventfd()
const serving = (serves: boolean): void =>
  say({
    kind: 'serving',
    state: {
      serves,
      because: serves ? '' : 'told so',
      volumes: [{ volume: 7, name: `${settings.aggregate.name}-volume`, size: 65536 }],
    },
  })

function hear(message: ToEngine): void {
  switch (message.kind) {
    case 'client':
    case 'link':
      return adopt(message)
    case 'request':
      return answer(message)
    case 'arbiter':
      return say({ kind: 'event', level: 'info', event: 'arbiter', text: JSON.stringify(message.answer) })
    case 'stop':
      serving(false)
      stopped = true
      // a real one writes a last consistency point meanwhile
      setTimeout(end, STOP_MS)
      return undefined
  }
}

function end(): void {
  say({ kind: 'stopped' })
  for (const socket of sockets) socket.destroy()
  port.close()
}

function adopt(message: ToEngine & { kind: 'client' | 'link' }): void {
  const { kind, peer, descriptor, leftover, ...rest } = message
  const facts = { ...rest, leftover: Buffer.from(leftover).toString('hex') }
  say({ kind: 'event', level: 'info', event: kind, text: peer, facts })
  const socket = new Socket({ fd: descriptor, readable: true, writable: true })
  sockets.add(socket)
  socket.on('error', () => {})
  socket.write(leftover)
  socket.on('data', (bytes) => socket.write(bytes))
}

function answer(message: ToEngine & { kind: 'request' }): void {
  const { request, name } = message
  switch (name) {
    case 'status':
      return say({ kind: 'answer', request, result: { aggregate: settings.aggregate.name, serves: true } })
    case 'volume-create':
      return say({ kind: 'answer', request, result: { volume: 9, usedByteLength: 0, ...message.body } })
    case 'volume-delete':
      return say({ kind: 'answer', request, error: { code: 'VOLUME_UNKNOWN', message: 'no such volume' } })
    case 'cp-hold':
      return serving(false)
    case 'cp-resume':
      return serving(true)
    case 'takeover':
      throw new Error('a bug of the engine')
    case 'scrub-stop':
      // whether the main thread hears of the end first is up to chance
      say({ kind: 'died', message: 'its last words' })
      return process.exit(0)
    case 'handover':
      return say({ kind: 'arbiter', call: 3, operation: 'read', aggregate: settings.aggregate.name })
    case 'log-dump':
      return say({ kind: 'wantLink', wanted: true })
    default:
      return undefined
  }
}

function waitForSignal(): void {
  read(wakeDescriptor, Buffer.alloc(8), 0, 8, null, () => {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      hear(next.message as ToEngine)
    }
    if (!stopped) waitForSignal()
  })
}

say({ kind: 'ready', wakeDescriptor })
serving(true)
waitForSignal()
