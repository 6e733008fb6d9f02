import { setTimeout as sleep } from 'node:timers/promises'
import { connect, NbdReplyError } from '../../test/support/nbd-client.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'

const TRY_MS = 1
const CONNECT_MS = 1000
const GIVE_UP_MS = 60_000

/** Connects and writes a block, again and again until a write is answered. Returns when that was. */
export async function firstReply(uri: string): Promise<number> {
  const startedMs = performance.now()
  const block = Buffer.alloc(BLOCK_SIZE, 1)
  for (;;) {
    try {
      const client = await connect(uri, { timeoutMs: CONNECT_MS })
      try {
        await client.write(0, block)
        return performance.now()
      } finally {
        await client.destroy()
      }
    } catch (error) {
      if (performance.now() - startedMs > GIVE_UP_MS)
        throw new Error(`no reply within ${GIVE_UP_MS / 1000} s`, { cause: error })
      // an error that the server answers is not to be passed over in silence
      if (error instanceof NbdReplyError) throw error
      await sleep(TRY_MS)
    }
  }
}
