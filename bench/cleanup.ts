import { constants } from 'node:os'

const steps: (() => void)[] = []
let isArmed = false

/** Has `step`, which is synchronous, run when the program ends, however it ends; the latest runs first. */
export function atEnd(step: () => void): void {
  steps.push(step)
  if (isArmed) return
  isArmed = true
  process.on('exit', undoAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
}

function undoAll(): void {
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    try {
      step()
    } catch (error) {
      // The other steps are still worth taking.
      console.error(`bench: while cleaning up: ${error instanceof Error ? error.message : error}`)
    }
  }
}
