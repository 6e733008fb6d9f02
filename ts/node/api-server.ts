import { chmodSync, rmSync } from 'node:fs'
import { StoreError } from '../base/errors.ts'
import { createApi } from '../control/api.ts'
import type { NodeControl } from '../control/node-control.ts'

export interface ApiServer {
  close(): Promise<void>
}

/** Opens the control socket. The caller holds the node's lock, so a socket that is there is a dead one's. */
export async function openApi(socket: string, node: NodeControl): Promise<ApiServer> {
  const api = createApi(node)
  rmSync(socket, { force: true })
  const before = process.umask(0o177)
  try {
    await api.listen({ path: socket })
    chmodSync(socket, 0o600)
  } catch (error) {
    const text = `the control socket ${socket} cannot be opened: ${(error as Error).message}`
    throw new StoreError('PORT_IN_USE', `${text}; change api.socket`, { cause: error })
  } finally {
    process.umask(before)
  }
  return { close: () => api.close() }
}
