import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterAnswer, ArbiterPort } from '../ports/arbiter.ts'
import type { FolderAnswer, FolderCall, FolderPlace } from './file-arbiter-worker.ts'
import { ProcessLocks } from './process-locks.ts'

/**
 * The arbiter in a folder (record-folder.ts). A thread of its own does its work: a swap is some fifteen calls
 * of the file system, which cost several times as much one by one through a pool of threads, and must not
 * hold up the main thread where they take long. Calls for one aggregate are carried out in their order.
 */
export class FileArbiter implements ArbiterPort {
  readonly #processes: ProcessLocks
  readonly #worker: Worker
  readonly #waiting = new Map<number, (answer: ArbiterAnswer) => void>()
  #calls = 0

  /** `boot` names this process; others see by it whether it still lives. */
  constructor(directory: string, boot: string) {
    this.#processes = new ProcessLocks(join(directory, 'alive'), boot)
    const workerData: FolderPlace = { directory, alive: this.#processes.directory, boot }
    this.#worker = new Worker(new URL('./file-arbiter-worker.js', import.meta.url), {
      workerData,
      name: 'arbiter',
    })
    this.#worker.on('message', (answer: FolderAnswer) => this.#answered(answer))
    this.#worker.once('error', (cause) => {
      throw new Error('the thread of the arbiter has failed', { cause })
    })
    this.#worker.unref()
  }

  read(aggregate: string, done: (answer: ArbiterAnswer) => void): void {
    this.#ask({ kind: 'read', aggregate }, done)
  }

  swap(
    aggregate: string,
    expected: number | undefined,
    next: OwnerRecord,
    done: (answer: ArbiterAnswer) => void,
  ): void {
    this.#ask({ kind: 'swap', aggregate, expected, next }, done)
  }

  /** Others see this process as ended from now on. Resolves when nothing of it would hold up an exit. */
  async close(): Promise<void> {
    this.#processes.close()
    await this.#worker.terminate()
  }

  #ask(call: FolderCall, done: (answer: ArbiterAnswer) => void): void {
    this.#calls += 1
    this.#waiting.set(this.#calls, done)
    this.#worker.ref()
    this.#worker.postMessage({ id: this.#calls, call })
  }

  #answered({ id, answer }: FolderAnswer): void {
    const done = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#worker.unref()
    done?.(answer)
  }
}
