import { constants } from 'node:os'

const steps: (() => void)[] = []
let isArmed = false

/** Has `step`, which is synchronous, run when the program ends, however it ends; the latest runs first. */
export function atEnd(step: () => void): void {
  steps.push(step)
  if (isArmed) return
  isArmed = true
  process.on('exit', () => undoTo(0))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
}

/** Runs a part of the program, and what it has left to be done at the end as soon as it has ended. */
export async function tidily<T>(part: () => Promise<T>): Promise<T> {
  const before = steps.length
  try {
    return await part()
  } finally {
    undoTo(before)
  }
}

function undoTo(count: number): void {
  while (steps.length > count) {
    try {
      steps.pop()!()
    } catch (error) {
      // The other steps are still worth taking.
      console.error(`bench: while cleaning up: ${error instanceof Error ? error.message : error}`)
    }
  }
}
