import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { takeSocket } from '../../../ts/adapters/native.ts'
import { NativeStream } from '../../../ts/adapters/stream.ts'
import type { Uring } from '../../../ts/adapters/uring.ts'
import { Gather } from '../../../ts/base/gather.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Memory } from '../../../ts/ports/memory.ts'

/** Remembers the result it was completed with. */
export class Result implements Completion {
  value: number | undefined
  times = 0

  complete(result: number): void {
    this.value = result
    this.times += 1
  }
}

/** Turns the ring until the operation has ended; gives up after five seconds. */
export function wait(uring: Uring, result: Result): number {
  const end = performance.now() + 5000
  while (result.value === undefined && performance.now() < end) uring.turn(100, 0)
  if (result.value === undefined) throw new Error('the operation did not end within five seconds')
  return result.value
}

/** Asks for one operation and waits for its result. */
export function ended(uring: Uring, ask: (done: Completion) => void): number {
  const result = new Result()
  ask(result)
  return wait(uring, result)
}

export function gatherOf(...pieces: readonly (readonly [address: number, byteLength: number])[]): Gather {
  const gather = new Gather()
  for (const [address, byteLength] of pieces) gather.add(address, byteLength)
  return gather
}

export function fillWith(memory: Memory, seed: number, from = 0, to = memory.byteLength): void {
  let state = seed
  for (let at = from; at < to; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    memory.bytes[at] = state >>> 24
  }
}

/** A folder of its own for one test, and how to remove it. */
export function scratch(parent = tmpdir()): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(parent, 'pollux-test-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Two ends of one TCP connection over loopback, both driven by the ring. */
export async function connected(uring: Uring): Promise<[NativeStream, NativeStream]> {
  const server = createServer({ pauseOnConnect: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const { port } = server.address() as { port: number }
  const near = connect(port, '127.0.0.1')
  await new Promise<void>((resolve) => near.once('connect', resolve))
  const far = await accepted
  server.close()
  return [takenFrom(uring, near), takenFrom(uring, far)]
}

function takenFrom(uring: Uring, socket: Socket): NativeStream {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const descriptor = takeSocket(fd)
  socket.destroy()
  return new NativeStream(uring, descriptor, 'loopback')
}
