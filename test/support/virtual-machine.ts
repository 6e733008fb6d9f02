import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { isAlive, missing, mustRun, scratch, until } from './program.ts'
import { Qmp } from './qmp.ts'

const source = fileURLToPath(new URL('../../../test/support/guest-init.sh', import.meta.url))
/** Where `scripts/setup --tests` puts a kernel of Debian. */
const kernelFolder = path.join(
  process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
  'pollux/guest-kernel',
)
const maker = '/sbin/mkfs.ext4'

/** Why there can be no guest; false if there can. */
export const noGuest: string | false =
  (process.arch !== 'x64' && 'the guest is one for x86-64') ||
  missing('qemu-system-x86_64', 'cpio', 'nbdcopy', 'mkfs.ext4') ||
  (!existsSync('/bin/busybox') && 'busybox-static is not installed') ||
  (!existsSync(`${kernelFolder}/vmlinuz`) && 'there is no kernel: run scripts/setup --tests')

/** Virtualisation of the processor itself; /dev/kvm alone is also there where only special guests run. */
export function accelerator(): 'kvm' | 'tcg' {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return /^flags.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) ? 'kvm' : 'tcg'
  } catch {
    return 'tcg'
  }
}

export interface GuestOptions {
  readonly memoryMib?: number
  /** programs of this host, copied into the guest with their libraries */
  readonly programs?: readonly string[]
  /** files and folders of this host, by the path that they get in the guest */
  readonly files?: Readonly<Record<string, string>>
}

/** A guest that carries out shell commands; `guest-init.sh` is all that runs in it. */
export class VirtualMachine {
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #answers: string[] = []
  #said: string[] = []
  #qmp: Qmp | undefined
  #errors = ''
  /** gets each line that is not a command's own */
  onLine: (line: string) => void = () => {}

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (/^(ready|done \d+)$/.test(line)) this.#answers.push(line)
      else {
        this.#said.push(line)
        this.onLine(line)
      }
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
  }

  /** A running guest with the disks and the network that QEMU's arguments tell. */
  static async start(
    t: Test,
    devices: readonly string[],
    options: GuestOptions = {},
  ): Promise<VirtualMachine> {
    const folder = scratch(t)
    const initrd = await makeInitrd(folder, options)
    const memory = String(options.memoryMib ?? 256)
    const boot = ['-kernel', `${kernelFolder}/vmlinuz`, '-initrd', initrd]
    const machine = ['-accel', accelerator(), '-m', memory, '-nodefaults', '-no-user-config', '-no-reboot']
    const lines = ['-display', 'none', '-serial', `file:${folder}/kernel.log`, '-serial', 'stdio']
    const control = ['-qmp', `unix:${folder}/qmp,server=on,wait=off`]
    const append = ['-append', 'console=ttyS0 loglevel=7 panic=-1']
    const words = [...machine, ...lines, ...control, ...boot, ...append, ...devices]
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...words], { stdio: 'pipe' })
    const guest = new VirtualMachine(folder, child)
    t.teardown(() => guest.#end(t))
    guest.#qmp = await Qmp.connect(`${folder}/qmp`)
    await guest.#answer('the guest has started', 120_000)
    return guest
  }

  /** Carries out a line of shell in the guest; a status other than 0 throws. */
  async command(line: string, timeoutMs = 60_000): Promise<void> {
    this.#said = []
    this.#child.stdin!.write(`${line}\n`)
    const answer = await this.#answer(line, timeoutMs)
    if (answer !== 'done 0') throw new Error(`in the guest: ${line}: ${answer}\n${this.#said.join('\n')}`)
  }

  /** As `command`; returns what was said meanwhile. */
  async output(line: string): Promise<string> {
    await this.command(line)
    return this.#said.join('\n')
  }

  /** What the guest's kernel has said. */
  kernelLog(): string {
    return readFileSync(`${this.#folder}/kernel.log`, 'latin1')
  }

  /** Requests that QEMU had to give an error to, whatever the guest made of it. */
  ioErrors(): unknown[] {
    return this.#qmp!.events.filter(({ event }) => event === 'BLOCK_IO_ERROR' || event === 'STOP')
  }

  async powerOff(): Promise<void> {
    this.#child.stdin!.write('poweroff -f\n')
    await until('the guest is off', () => !isAlive(this.#child.pid!), 30_000)
  }

  #answer(what: string, timeoutMs: number): Promise<string> {
    return until(
      `the guest: ${what}`,
      () => {
        const answer = this.#answers.shift()
        if (answer === undefined && this.#child.exitCode !== null) throw new Error(`QEMU: ${this.#errors}`)
        return answer
      },
      timeoutMs,
    )
  }

  async #end(t: Test): Promise<void> {
    this.#qmp?.close()
    this.#child.kill('SIGKILL')
    if (!t.passing()) t.comment(`${this.#errors}\n${this.kernelLog().slice(-4000)}`)
    await until('QEMU is gone', () => !isAlive(this.#child.pid!), 5000).catch(() => undefined)
  }
}

/** The guest's first file system: busybox, what makes an ext4, modules, and the first process. */
async function makeInitrd(folder: string, { programs = [], files = {} }: GuestOptions): Promise<string> {
  const tree = path.join(folder, 'initrd')
  const into = (from: string, to: string) => {
    mkdirSync(path.dirname(path.join(tree, to)), { recursive: true })
    cpSync(from, path.join(tree, to), { recursive: true, dereference: true })
  }
  into('/bin/busybox', 'bin/busybox')
  into(source, 'init')
  chmodSync(path.join(tree, 'init'), 0o755)
  for (const program of [maker, ...programs]) {
    into(program, program)
    const { stdout } = await mustRun('ldd', [program])
    for (const [library] of stdout.matchAll(/\/\S+\.so\S*/g)) into(library, library)
  }
  for (const [to, from] of Object.entries(files)) into(from, to)
  into('/etc/mke2fs.conf', 'etc/mke2fs.conf')
  await mustRun('cp', ['-r', `${kernelFolder}/modules`, tree])
  const pack = `cd ${tree} && find . | cpio --quiet -o -H newc > ../initrd.cpio`
  await mustRun('sh', ['-c', pack])
  return path.join(folder, 'initrd.cpio')
}
