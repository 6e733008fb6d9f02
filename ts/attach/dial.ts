import { connect, type Socket } from 'node:net'
import { closeDescriptor, limitUnanswered, takeSocket } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { listenText } from '../config/address.ts'
import { type OpenedExport, Opener } from '../nbd/opener.ts'
import { takeOffLoop } from '../node/sockets.ts'
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
 * connection as soon as it hears of it; where the address did not move, this ends the wait.
 */
const UNANSWERED_MS = 20_000

const NOTHING = new Uint8Array(0)

/** Opens a volume over plain NBD. Throws ATTACH_FAILED, with the reason. */
export async function dial(target: Target): Promise<Dialed> {
  const { place, exportName } = target
  const socket = connect('path' in place ? place : { ...place, noDelay: true })
  try {
    const opened = await openExport(socket, new Opener(exportName))
    const taken = takeOffLoop(socket, NOTHING, { takeSocket })
    if (taken && taken.leftover.length === 0) {
      limitUnanswered(taken.descriptor, UNANSWERED_MS)
      return { descriptor: taken.descriptor, opened }
    }
    if (taken) closeDescriptor(taken.descriptor)
    throw new StoreError('ATTACH_FAILED', 'the server has closed the connection')
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
  return new Promise((resolve, reject) => {
    const end = (error: Error) => {
      clearTimeout(timer)
      reject(error)
    }
    const timer = setTimeout(() => {
      end(new StoreError('ATTACH_FAILED', `no answer within ${DIAL_MS / 1000} s`))
    }, DIAL_MS)
    socket.on('error', end)
    socket.on('close', () => end(new StoreError('ATTACH_FAILED', 'the server has closed the connection')))
    socket.on('data', (bytes) => {
      try {
        const step = opener.feed(bytes)
        if (step.kind === 'more') return void socket.write(step.send)
        clearTimeout(timer)
        socket.pause()
        resolve(step.opened)
      } catch (error) {
        end(error as Error)
      }
    })
  })
}
