import { connect, type Socket } from 'node:net'
import { closeDescriptor, limitUnanswered, takeSocket } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { listenText } from '../config/address.ts'
import { AllocationWalk } from '../nbd/allocation-walk.ts'
import { type OpenedExport, Opener } from '../nbd/opener.ts'
import { takeOffLoop } from '../node/sockets.ts'
import { SILENCE_S } from './silence.ts'
import type { Target } from './target.ts'

/** A session in transmission; its descriptor belongs to whoever is told. */
export interface Dialed {
  readonly descriptor: number
  readonly opened: OpenedExport
}

/** Connecting and the handshake. A pair on one host holds clients for up to 3 s while it takes over. */
const DIAL_MS = 5000
/**
 * A host that is gone acknowledges nothing. After a takeover another host has its address, and breaks the
 * connection as soon as it hears of it; where the address did not move, this ends the wait. It counts for one
 * that acknowledges and does not read, too, which is for the silence to end: that comes first.
 */
const UNANSWERED_MS = (SILENCE_S + 15) * 1000

const NOTHING = new Uint8Array(0)

/** Opens a volume over plain NBD. Throws ATTACH_FAILED, with the reason. */
export function dial(target: Target): Promise<Dialed> {
  return withSocket(target, async (socket) => {
    const opened = await openExport(socket, new Opener(target.exportName))
    const taken = takeOffLoop(socket, NOTHING, { takeSocket })
    if (taken && taken.leftover.length === 0) {
      limitUnanswered(taken.descriptor, UNANSWERED_MS)
      return { descriptor: taken.descriptor, opened }
    }
    if (taken) closeDescriptor(taken.descriptor)
    throw new StoreError('ATTACH_FAILED', 'the server has closed the connection')
  })
}

/** How long a server may take to tell of all its extents. */
const WALK_MS = 60_000

/**
 * Asks over plain NBD whether a volume has nothing but zeroes, without reading it. undefined if the server
 * does not tell what is allocated. Throws ATTACH_FAILED, with the reason.
 */
export function isAllZero(target: Target): Promise<boolean | undefined> {
  return withSocket(target, async (socket) => {
    const { allocation, byteLength } = await openExport(socket, new Opener(target.exportName, true))
    if (allocation === undefined) return undefined
    const walk = new AllocationWalk(allocation, byteLength)
    const first = walk.start()
    if (first.kind === 'done') return true
    socket.write(first.send)
    const end = await converse(socket, WALK_MS, (bytes) => {
      const step = walk.feed(bytes)
      return step.kind === 'more' ? { send: step.send } : { result: { dataAt: step.dataAt } }
    })
    return end.dataAt === undefined
  })
}

async function withSocket<T>({ place }: Target, work: (socket: Socket) => Promise<T>): Promise<T> {
  const socket = connect('path' in place ? place : { ...place, noDelay: true })
  try {
    return await work(socket)
  } catch (error) {
    const why = error instanceof StoreError ? error.message : `no connection (${whyOf(error)})`
    throw new StoreError('ATTACH_FAILED', `${listenText(place)}: ${why}`, { cause: error })
  } finally {
    socket.destroy()
  }
}

/** Several addresses of a host fail together, each with an error of its own. */
function whyOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

function openExport(socket: Socket, opener: Opener): Promise<OpenedExport> {
  return converse(socket, DIAL_MS, (bytes) => {
    const step = opener.feed(bytes)
    return step.kind === 'more' ? { send: step.send } : { result: step.opened }
  })
}

/** Until `hear` has a result of what the server says; the socket is paused then. */
function converse<T>(
  socket: Socket,
  withinMs: number,
  hear: (bytes: Uint8Array) => { send: Uint8Array } | { result: T },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void) => {
      clearTimeout(timer)
      socket.off('data', onData)
      then()
    }
    const end = (error: Error) => settle(() => reject(error))
    const onData = (bytes: Uint8Array) => {
      try {
        const step = hear(bytes)
        if ('send' in step) return void socket.write(step.send)
        socket.pause()
        settle(() => resolve(step.result))
      } catch (error) {
        end(error as Error)
      }
    }
    const timer = setTimeout(() => {
      end(new StoreError('ATTACH_FAILED', `no answer within ${withinMs / 1000} s`))
    }, withinMs)
    socket.on('error', end)
    socket.on('close', () => end(new StoreError('ATTACH_FAILED', 'the server has closed the connection')))
    socket.on('data', onData)
    socket.resume()
  })
}
