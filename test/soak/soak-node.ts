import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { NodeName } from '../support/pair.ts'
import { commandLine } from '../support/program.ts'

export interface SoakNodeOptions {
  readonly name: NodeName
  readonly dir: string
  readonly config: string
  /** words before its command, that take it to its host */
  readonly enter: readonly string[]
  /** why a node that has just been started may have ended; undefined: nothing explains it */
  readonly excuse: (name: NodeName) => string | undefined
  readonly note: (text: string) => void
  readonly failed: (error: Error) => void
}

const RESTART_MS = 400

/** The process of one node: started again when it was killed, and watched. */
export class SoakNode {
  readonly options: SoakNodeOptions
  /** the most that any of its processes had */
  readonly most = { memoryByteLength: 0, descriptors: 0 }
  starts = 0
  #child: ChildProcess | undefined
  #isWanted = false
  #isKilled = false
  #isStopped = false
  #ended: Promise<void> = Promise.resolve()

  constructor(options: SoakNodeOptions) {
    this.options = options
  }

  get name(): NodeName {
    return this.options.name
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  start(): void {
    this.#isWanted = true
    if (this.#child !== undefined) return
    this.#isKilled = false
    const { enter, config, dir, name } = this.options
    const log = openSync(path.join(dir, `${name}.log`), 'a')
    const serve = [process.execPath, commandLine, 'serve', '--config', config]
    const [command, ...args] = ['setpriv', '--pdeathsig', 'KILL', ...enter, ...serve]
    const child = spawn(command!, args, { detached: true, stdio: ['ignore', log, log], cwd: dir })
    closeSync(log)
    this.starts += 1
    this.#child = child
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => this.options.failed(error))
      child.once('exit', (code, signal) => {
        this.#exited(code, signal)
        resolve()
      })
    })
  }

  async kill(): Promise<void> {
    this.#isWanted = false
    this.#isKilled = true
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  stop(): void {
    this.#isStopped = true
    this.#child?.kill('SIGSTOP')
  }

  goOn(): void {
    if (this.#isStopped) this.#child?.kill('SIGCONT')
    this.#isStopped = false
  }

  /** It is told to end in good order by somebody else. Resolves when it has. */
  async leaving(): Promise<void> {
    this.#isWanted = false
    await this.#ended
  }

  /** Looks how much it uses. */
  measure(): void {
    const pid = this.#child?.pid
    if (pid === undefined) return
    try {
      const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
      const descriptors = readdirSync(`/proc/${pid}/fd`).length
      this.most.memoryByteLength = Math.max(this.most.memoryByteLength, kilobytes * 1024)
      this.most.descriptors = Math.max(this.most.descriptors, descriptors)
    } catch {
      // it has ended in between
    }
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined
    this.#isStopped = false
    if (this.#isKilled) return
    if (!this.#isWanted) {
      if (code !== 0) this.#complain(`did not stop in good order: ${code ?? signal}`)
      return
    }
    const excuse = signal === null ? this.options.excuse(this.name) : undefined
    if (excuse === undefined) return this.#complain(`ended by itself: ${code ?? signal}`)
    this.options.note(`${this.name} ended with ${code}, since ${excuse}; it is started again`)
    setTimeout(() => this.#isWanted && this.start(), RESTART_MS)
  }

  #complain(what: string): void {
    this.options.failed(new Error(`${this.name} ${what}; see ${this.name}.log`))
  }
}
