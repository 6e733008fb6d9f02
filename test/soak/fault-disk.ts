import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { type NodeName, nodeNames } from '../support/pair.ts'
import { mustRun, run, until } from '../support/program.ts'

const FUSE_MAGIC = 0x65735546
const UNLIMITED = '1000G'
/** The nodes ask a disk again for a block that failed after some turns of their loops. */
const REMEMBERED_MS = 3000

export type DiskMood = 'good' | 'read errors' | 'write errors' | 'errors' | 'slow' | 'stuck'

interface Window {
  readonly fromMs: number
  toMs: number
}

/**
 * A disk that both nodes reach, each by a loop device of its own, with nbdkit below that fails or delays
 * what it is told to. Loop and FUSE do direct I/O, so nothing is kept on the way: what was answered has
 * reached nbdkit, which outlives the nodes; a flush goes down to the file; a failed write may have been
 * done in part. Reads are never answered from a cache in front of the errors.
 */
export class FaultDisk {
  readonly #file: string
  readonly #loops = new Map<NodeName, string>()
  readonly #held: number[] = []
  readonly #processes: ChildProcess[] = []
  #readErrors: Window[] = []
  #mood: DiskMood = 'good'

  private constructor(file: string) {
    this.#file = file
  }

  static async make(file: string): Promise<FaultDisk> {
    const disk = new FaultDisk(file)
    await disk.#start()
    return disk
  }

  device(node: NodeName): string {
    return this.#loops.get(node)!
  }

  set(mood: DiskMood): void {
    const nowMs = performance.now()
    const failsReads = mood === 'read errors' || mood === 'errors'
    const open = this.#readErrors.at(-1)
    if (open?.toMs === Number.POSITIVE_INFINITY) open.toMs = nowMs
    if (failsReads) this.#readErrors.push({ fromMs: nowMs, toMs: Number.POSITIVE_INFINITY })
    this.#readErrors = this.#readErrors.slice(-1000)
    this.#trigger('read-errors', failsReads)
    this.#trigger('write-errors', mood === 'write errors' || mood === 'errors')
    writeFileSync(`${this.#file}.rate`, mood === 'slow' ? '8M' : UNLIMITED)
    if (mood === 'stuck') this.#kit.kill('SIGSTOP')
    else if (this.#mood === 'stuck') this.#kit.kill('SIGCONT')
    this.#mood = mood
  }

  /** Whether reads were made to fail at any moment since, or so shortly before that nodes remember it. */
  failedReadsSince(sinceMs: number): boolean {
    return this.#readErrors.some(({ toMs }) => toMs + REMEMBERED_MS >= sinceMs)
  }

  /** Nobody uses it any more. Loop devices go with the last descriptor. */
  async close(): Promise<void> {
    if (this.#processes.length > 0) this.set('good')
    for (const descriptor of this.#held.splice(0)) closeSync(descriptor)
    await run('umount', ['--lazy', this.#front])
    for (const child of this.#processes) child.kill('SIGKILL')
  }

  get #front(): string {
    return `${this.#file}.fuse`
  }

  get #kit(): ChildProcess {
    return this.#processes[0]!
  }

  async #start(): Promise<void> {
    const [socket, front] = [`${this.#file}.socket`, this.#front]
    writeFileSync(front, '')
    writeFileSync(`${this.#file}.rate`, UNLIMITED)
    const errors = ['read', 'write'].flatMap((what) => [
      `error-p${what}=EIO`,
      `error-p${what}-rate=100%`,
      `error-p${what}-file=${this.#file}.${what}-errors`,
    ])
    const filters = ['--filter=error', '--filter=rate']
    const file = ['file', this.#file, ...errors, `rate-file=${this.#file}.rate`]
    this.#spawn('nbdkit', ['-f', '--exit-with-parent', '--log=null', '-U', socket, ...filters, ...file])
    await until('nbdkit listens', () => isSocketThere(socket))
    this.#spawn('nbdfuse', [front, '--unix', socket])
    await until('the FUSE file is mounted', () => statfsSync(front).type === FUSE_MAGIC)
    for (const node of nodeNames) {
      const made = await mustRun('losetup', ['--find', '--show', '--direct-io=on', front])
      const device = made.stdout.trim()
      this.#loops.set(node, device)
      this.#held.push(openSync(device, 'r'))
      // it goes by itself as soon as the last one who has it open is gone, however we end
      await mustRun('losetup', ['--detach', device])
    }
  }

  #spawn(command: string, args: readonly string[]): void {
    const guarded = ['--pdeathsig', 'KILL', command, ...args]
    this.#processes.push(spawn('setpriv', guarded, { stdio: 'ignore', detached: true }))
  }

  #trigger(name: string, on: boolean): void {
    const path = `${this.#file}.${name}`
    if (on) writeFileSync(path, '')
    else rmSync(path, { force: true })
  }
}

function isSocketThere(path: string): boolean {
  try {
    statfsSync(path)
    return true
  } catch {
    return false
  }
}
