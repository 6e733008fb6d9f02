import { lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'

/**
 * A process that was killed leaves its socket behind, and nobody could listen there again. Removes it if
 * nobody answers, and if it is a socket at all. Who wants to listen tries again a little later.
 */
export function removeStaleSocket(path: string): void {
  const probe = connect({ path })
  probe.once('connect', () => probe.destroy())
  probe.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNREFUSED') removeSocket(path)
  })
}

function removeSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path)
  } catch {
    // somebody else has removed it
  }
}
