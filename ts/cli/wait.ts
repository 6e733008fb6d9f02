import { setTimeout as sleep } from 'node:timers/promises'
import { StoreError } from '../base/errors.ts'
import { clearProgress, progress } from './output.ts'

const POLL_MS = 50

/**
 * Looks again and again until `look` returns a value. Undefined means not yet; `text` tells what is
 * waited for, on a terminal while it lasts and in the failure when time is up.
 */
export async function waitFor<T>(
  timeoutMs: number,
  text: () => string,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined) {
      clearProgress()
      return found
    }
    if (performance.now() > until) {
      clearProgress()
      throw new StoreError('NOT_READY', `not done within ${Math.round(timeoutMs / 1000)} s: ${text()}`)
    }
    progress(text())
    await sleep(POLL_MS)
  }
}
