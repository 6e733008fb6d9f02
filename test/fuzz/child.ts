import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Coverage } from './coverage.ts'
import { type Failure, Fuzzer } from './fuzzer.ts'
import { loadTarget } from './registry.ts'
import type { Target } from './target.ts'
import { WATCHED_BYTES_MAX, WATCHED_HEADER_BYTES, type Watched } from './watchdog.ts'

/** What a process is told to fuzz. */
export interface Order {
  readonly target: string
  readonly seed: number
  readonly seconds: number
  /** for inputs that fail */
  readonly folder: string
  /** instead of fuzzing, this file is the only input */
  readonly input?: string
}

/** What a process tells: how far it is, and at the end what it has found. */
export interface Report {
  readonly target: string
  readonly executions: number
  readonly seconds: number
  readonly corpus: number
  readonly covered: number
  readonly failure?: { readonly path: string; readonly error: string; readonly byteLength: number }
}

const REPORT_MS = 500
/** Reading a clock costs as much as a small input. */
const LOOK_EVERY = 32

/** Runs in a process of its own, for a target alone. */
async function fuzz(order: Order): Promise<void> {
  const coverage = Coverage.start()
  const target = await loadTarget(order.target)
  if (order.input !== undefined) return target.run(new Uint8Array(readFileSync(order.input)))
  const fuzzer = new Fuzzer(target, coverage, { seed: order.seed, begins: watched(order) })
  const startedMs = performance.now()
  let toldMs = startedMs
  const report = (): Report => ({
    target: target.name,
    executions: fuzzer.executions,
    seconds: (performance.now() - startedMs) / 1000,
    corpus: fuzzer.corpus.length,
    covered: coverage.branches.covered,
  })
  const failure = fuzzer.run((executions) => {
    if (executions % LOOK_EVERY !== 0) return true
    const nowMs = performance.now()
    if (nowMs - toldMs > REPORT_MS) {
      toldMs = nowMs
      process.send?.(report())
    }
    return nowMs - startedMs < order.seconds * 1000
  })
  process.send?.({ ...report(), ...(failure && { failure: kept(order, target, fuzzer.minimize(failure)) }) })
}

/** Each input is where the watchdog finds it before it is run. */
function watched({ folder, target }: Order): (input: Uint8Array) => void {
  const shared = new SharedArrayBuffer(WATCHED_HEADER_BYTES + WATCHED_BYTES_MAX)
  const [numbers, bytes] = [new Int32Array(shared, 0, 2), new Uint8Array(shared, WATCHED_HEADER_BYTES)]
  const workerData: Watched = { shared, folder, target }
  new Worker(new URL('./watchdog.js', import.meta.url), { workerData, execArgv: [] }).unref()
  return (input) => {
    Atomics.store(numbers, 1, input.length)
    bytes.set(input)
    Atomics.add(numbers, 0, 1)
  }
}

function kept(order: Order, target: Target, { input, error }: Failure): Report['failure'] {
  const path = join(order.folder, `${target.name}-${order.seed}`)
  writeFileSync(path, input)
  return { path, error: error.stack ?? String(error), byteLength: input.length }
}

await fuzz(JSON.parse(process.argv[2]!) as Order)
process.exit()
