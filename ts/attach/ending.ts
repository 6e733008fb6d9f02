import { hasPeerEnded, limitUnanswered, resetSocket, shutdownSocket } from '../adapters/native.ts'
import { comesTrue } from './programs.ts'

/**
 * How long the end of a session is waited for, in ms. Whoever serves may be the one that served before,
 * only slow: it still has requests to read that the kernel repeats on the next connection, and they would
 * be done again after newer ones. It has read them when it ends its side.
 */
const ENDING_MS = 10_000

/** Requests wait meanwhile, and must not fail for that alone. */
export const endingMs = (outageS: number): number => Math.min(ENDING_MS, (outageS * 1000) / 2)

/**
 * Ends connections from this side, and waits until their server has as well. False if it has not in time:
 * then they are reset; or if `isStopped` came first.
 */
export async function endSessions(
  sockets: readonly number[],
  withinMs: number,
  isStopped: () => boolean,
): Promise<boolean> {
  for (const socket of sockets) {
    // to have given up a server is not to know that it has ended
    limitUnanswered(socket, 0)
    shutdownSocket(socket)
  }
  const haveEnded = () => sockets.every(hasPeerEnded)
  if (await comesTrue(() => isStopped() || haveEnded(), withinMs)) return haveEnded()
  // what the server has not received by now, it never does
  for (const socket of sockets) resetSocket(socket)
  return false
}
