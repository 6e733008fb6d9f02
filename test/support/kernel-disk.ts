import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { isAlive, mustRun, run, until } from './program.ts'

const FUSE_MAGIC = 0x65735546

/**
 * A volume as a block device of the kernel: a file of nbdfuse, and a loop device over it. Neither connects
 * again, so when the nodes are gone, nothing that the kernel still has can reach them later.
 */
export class KernelDisk {
  readonly device: string
  readonly mountPoint: string
  readonly #front: string
  readonly #fuse: ChildProcess

  private constructor(folder: string, front: string, fuse: ChildProcess, device: string) {
    this.mountPoint = path.join(folder, 'mnt')
    this.#front = front
    this.#fuse = fuse
    this.device = device
  }

  static async attach(folder: string, uri: string): Promise<KernelDisk> {
    const front = path.join(folder, 'volume')
    writeFileSync(front, '')
    mkdirSync(path.join(folder, 'mnt'), { recursive: true })
    const words = ['--pdeathsig', 'KILL', 'nbdfuse', front, uri]
    const fuse = spawn('setpriv', words, { stdio: 'ignore' })
    await until(`${uri} is a file`, () => statfsSync(front).type === FUSE_MAGIC)
    const { stdout } = await mustRun('losetup', ['--find', '--show', '--direct-io=on', front])
    return new KernelDisk(folder, front, fuse, stdout.trim())
  }

  async mount(type: string): Promise<void> {
    await mustRun('mount', ['-t', type, this.device, this.mountPoint])
  }

  async unmount(): Promise<void> {
    await mustRun('umount', [this.mountPoint])
  }

  /** Takes all of it away, whatever state it is in. */
  async detach(): Promise<void> {
    if ((await run('umount', [this.mountPoint])).code !== 0) await run('umount', ['--lazy', this.mountPoint])
    await run('losetup', ['--detach', this.device])
    if ((await run('umount', [this.#front])).code !== 0) await run('umount', ['--lazy', this.#front])
    await until('nbdfuse has ended', () => !isAlive(this.#fuse.pid!), 5000).catch(() => {
      this.#fuse.kill('SIGKILL')
    })
  }
}
