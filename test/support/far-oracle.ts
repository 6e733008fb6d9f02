import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { OracleOptions } from './oracle.ts'
import { until } from './program.ts'

interface Said {
  readonly answered: number
  readonly reconnects: number
  readonly longestWaitMs: number
  readonly failure?: string
  readonly seed: number
  readonly wrong?: readonly string[]
}

const program = fileURLToPath(new URL('./oracle-program.js', import.meta.url))

/** An oracle on another host. */
export class FarOracle {
  readonly #child: ChildProcess
  #said: Said = { answered: 0, reconnects: 0, longestWaitMs: 0, seed: 0 }

  /** `enter`: words before a command that take it to that host. */
  constructor(t: Test, enter: readonly string[], options: OracleOptions) {
    const [command, ...args] = [...enter, process.execPath, program, JSON.stringify(options)]
    this.#child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    t.teardown(() => this.#child.kill('SIGKILL'))
    this.#child.stdin!.on('error', () => {})
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.#said = JSON.parse(line) as Said
    })
  }

  get said(): Said {
    return this.#said
  }

  /** Waits until so many more requests have been answered. */
  async progress(more = 50, timeoutMs = 20_000): Promise<void> {
    const wanted = this.#said.answered + more
    await until('the client gets answers', () => this.#answered(wanted), timeoutMs)
  }

  /** The longest time that a request was without an answer since this was asked last. */
  async lap(): Promise<number> {
    const { longestWaitMs } = this.#said
    this.#child.stdin!.write('lap\n')
    await this.progress(1)
    return Math.round(longestWaitMs)
  }

  keepAlive(): void {
    this.#child.stdin!.write('keep-alive\n')
  }

  /** Writes no more, reads everything, and says what is wrong with it. */
  async verify(): Promise<readonly string[]> {
    this.#child.stdin!.write('stop\n')
    return until('the client has verified', () => this.#said.wrong, 30_000)
  }

  #answered(wanted: number): boolean {
    const { failure, answered } = this.#said
    if (failure !== undefined) throw new Error(failure)
    return answered >= wanted
  }
}
