import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Order, Report } from './child.ts'

export interface Plan {
  readonly targets: readonly string[]
  readonly seed: number
  /** of each target */
  readonly seconds: number
  /** how many run at once */
  readonly jobs: number
  /** for inputs that fail */
  readonly folder: string
  readonly progress?: (report: Report) => void
}

const CHILD_FLAGS = ['--enable-source-maps', '--max-old-space-size=1024']

/** Fuzzes each target in a process of its own; returns their last reports, in the order of their ends. */
export async function fuzzAll(plan: Plan): Promise<Report[]> {
  const waiting = [...plan.targets]
  const reports: Report[] = []
  const job = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift())
      reports.push(await fuzzOne({ ...plan, target }))
  }
  await Promise.all(Array.from({ length: plan.jobs }, job))
  return reports
}

async function fuzzOne(plan: Plan & { readonly target: string }): Promise<Report> {
  const { target, seed, seconds, folder, progress } = plan
  let last: Report = { target, executions: 0, seconds: 0, corpus: 0, covered: 0 }
  const child = start({ target, seed, seconds, folder })
  child.on('message', (report: Report) => {
    last = report
    progress?.(report)
  })
  const { code, stderr } = await ended(child)
  if (code === 0) return last
  const path = ['hang', 'memory'].map((what) => join(folder, `${target}-${what}`)).find(existsSync)
  const error = path === undefined ? `the process ended with ${code}: ${stderr}` : reasons(path)
  return { ...last, failure: { path: path ?? '', error, byteLength: 0 } }
}

const reasons = (path: string): string =>
  path.endsWith('-hang') ? 'an input takes more than 10 seconds' : 'an input takes more than 2 GiB of memory'

/** Runs one input that was kept. Returns why it fails; undefined: it does not. */
export async function repeat(target: string, input: string): Promise<string | undefined> {
  const { code, stderr } = await ended(start({ target, seed: 0, seconds: 0, folder: '', input }))
  return code === 0 ? undefined : stderr
}

function start(order: Order): ChildProcess {
  const file = new URL('./child.js', import.meta.url)
  return fork(file, [JSON.stringify(order)], {
    execArgv: CHILD_FLAGS,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
}

function ended(child: ChildProcess): Promise<{ code: number | string; stderr: string }> {
  let stderr = ''
  child.stderr!.on('data', (piece) => {
    stderr += String(piece)
  })
  return new Promise((resolve) =>
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'nothing', stderr })),
  )
}
