import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workerData } from 'node:worker_threads'

/** What the fuzzer shares with its watchdog: a counter of inputs, the length of the present one, and it. */
export interface Watched {
  readonly shared: SharedArrayBuffer
  readonly folder: string
  readonly target: string
}

export const WATCHED_BYTES_MAX = 1 << 16
export const WATCHED_HEADER_BYTES = 8
/** The slowest target takes some milliseconds for an input; a process may be stopped for longer than that. */
const HANG_MS = 10_000
const RESIDENT_BYTES_MAX = 2 ** 31
const LOOK_MS = 500

/** A thread of its own: ends a process whose input takes for ever or too much memory, and keeps the input. */
function watch({ shared, folder, target }: Watched): void {
  const [numbers, bytes] = [new Int32Array(shared, 0, 2), new Uint8Array(shared, WATCHED_HEADER_BYTES)]
  let last = -1
  let sinceMs = Date.now()
  setInterval(() => {
    const count = Atomics.load(numbers, 0)
    if (count !== last) sinceMs = Date.now()
    last = count
    const isHanging = count > 0 && Date.now() - sinceMs > HANG_MS
    if (!isHanging && process.memoryUsage.rss() < RESIDENT_BYTES_MAX) return
    const path = join(folder, `${target}-${isHanging ? 'hang' : 'memory'}`)
    writeFileSync(path, bytes.slice(0, Atomics.load(numbers, 1)))
    process.kill(process.pid, 'SIGKILL')
  }, LOOK_MS)
}

if (workerData !== null) watch(workerData as Watched)
