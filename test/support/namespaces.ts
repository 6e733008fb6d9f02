import { type ChildProcess, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { mustRun, until } from './program.ts'

/** A place in a network: a device, and the words before a command that take it to where the device is. */
export interface End {
  readonly enter: readonly string[]
  readonly device: string
}

export const words = (text: string): string[] => text.split(' ')

/** Runs a line where a device is. */
export async function at({ enter }: Pick<End, 'enter'>, line: string): Promise<string> {
  const [command, ...args] = [...enter, ...words(line)]
  return (await mustRun(command!, args)).stdout
}

export async function giveAddress(end: End, host: string): Promise<void> {
  await at(end, `ip address add ${host}/24 dev ${end.device}`)
  await at(end, `ip link set ${end.device} up`)
}

/** A network namespace that lives until it is closed, or this process ends. */
export class Namespace {
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess) {
    this.#holder = holder
  }

  static async make(): Promise<Namespace> {
    const sleeper = ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity']
    const namespace = new Namespace(spawn('setpriv', sleeper, { stdio: 'ignore' }))
    const ours = readlinkSync('/proc/self/ns/net')
    await until('a network namespace is made', () => namespace.#is() !== ours)
    await at(namespace, 'ip link set lo up')
    return namespace
  }

  get pid(): number {
    return this.#holder.pid!
  }

  get enter(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.pid}/ns/net`, '--']
  }

  end(device: string): End {
    return { enter: this.enter, device }
  }

  close(): void {
    this.#holder.kill('SIGKILL')
  }

  #is(): string {
    try {
      return readlinkSync(`/proc/${this.pid}/ns/net`)
    } catch {
      return readlinkSync('/proc/self/ns/net')
    }
  }
}

/** A wire between devices of two namespaces. */
export async function wire(one: [Namespace, string], other: [Namespace, string]): Promise<void> {
  const [[from, device], [to, peer]] = [one, other]
  await at(from, `ip link add name ${device} type veth peer name ${peer} netns ${to.pid}`)
}
