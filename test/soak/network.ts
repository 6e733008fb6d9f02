import { type ChildProcess, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import type { NodeName } from '../support/pair.ts'
import { mustRun, run, until } from '../support/program.ts'

/** What happens to packets that leave a device. */
export type Traffic = 'open' | 'silent' | 'slow' | 'down'

/** One end of a wire: a device, and how to get to where it is. */
interface End {
  readonly enter: readonly string[]
  readonly device: string
}

/** How the nodes reach each other, and clients reach them. */
export interface Network {
  readonly isReal: boolean
  /** words before a command that make it run on a node's host */
  enter(node: NodeName): readonly string[]
  linkHost(node: NodeName): string
  clientHost(node: NodeName): string
  /** where a node's service listens */
  serviceHost(node: NodeName): string
  /** what leaves this node towards its partner */
  link(from: NodeName, traffic: Traffic): Promise<void>
  /** what clients send to a node, and what it answers */
  path(node: NodeName, requests: Traffic, replies: Traffic): Promise<void>
  close(): void
}

const link = { castor: '10.81.0.1', pollux: '10.81.0.2' } as const
const hosts = { castor: '10.82.1.2', pollux: '10.82.2.2' } as const
const clients = { castor: '10.82.1.1', pollux: '10.82.2.1' } as const

/** Both nodes and the clients on one host: nothing can be cut. */
export const loopback: Network = {
  isReal: false,
  enter: () => [],
  linkHost: () => '127.0.0.1',
  clientHost: () => '127.0.0.1',
  serviceHost: () => '127.0.0.1',
  link: () => Promise.resolve(),
  path: () => Promise.resolve(),
  close: () => {},
}

/**
 * A network namespace for each node, with a wire between them and one from each to the clients, who
 * live in the namespace of this process. It has to be one of our own: names are not unique.
 */
export class Namespaces implements Network {
  readonly isReal = true
  readonly #holders: Record<NodeName, ChildProcess>
  readonly #slow: readonly string[]

  private constructor(holders: Record<NodeName, ChildProcess>, slow: readonly string[]) {
    this.#holders = holders
    this.#slow = slow
  }

  static async make(): Promise<Namespaces> {
    await mustRun('ip', ['link', 'set', 'lo', 'up'])
    const holders = { castor: hold(), pollux: hold() }
    await Promise.all([entered(holders.castor), entered(holders.pollux)])
    const [castor, pollux] = [String(holders.castor.pid), String(holders.pollux.pid)]
    await mustRun(
      'ip',
      words(`link add name partner netns ${castor} type veth peer name partner netns ${pollux}`),
    )
    await mustRun('ip', words(`link add name castor type veth peer name clients netns ${castor}`))
    await mustRun('ip', words(`link add name pollux type veth peer name clients netns ${pollux}`))
    const network = new Namespaces(holders, await slowness())
    for (const node of ['castor', 'pollux'] as const) {
      await address(network.#linkEnd(node), link[node])
      await address(network.#nodeEnd(node), hosts[node])
      await address({ enter: [], device: node }, clients[node])
      await mustRun('nsenter', [...network.enter(node).slice(1), 'ip', 'link', 'set', 'lo', 'up'])
    }
    return network
  }

  enter(node: NodeName): readonly string[] {
    return ['nsenter', `--net=/proc/${this.#holders[node].pid}/ns/net`, '--']
  }

  linkHost(node: NodeName): string {
    return link[node]
  }

  clientHost(node: NodeName): string {
    return hosts[node]
  }

  serviceHost(): string {
    return '0.0.0.0'
  }

  link(from: NodeName, traffic: Traffic): Promise<void> {
    return this.#set(this.#linkEnd(from), traffic)
  }

  async path(node: NodeName, requests: Traffic, replies: Traffic): Promise<void> {
    await this.#set({ enter: [], device: node }, requests)
    await this.#set(this.#nodeEnd(node), replies)
  }

  close(): void {
    for (const holder of Object.values(this.#holders)) holder.kill('SIGKILL')
  }

  #linkEnd(node: NodeName): End {
    return { enter: this.enter(node), device: 'partner' }
  }

  #nodeEnd(node: NodeName): End {
    return { enter: this.enter(node), device: 'clients' }
  }

  async #set(end: End, traffic: Traffic): Promise<void> {
    if (traffic === 'down') return at(end, `ip link set ${end.device} down`)
    if (traffic === 'silent') return at(end, `tc qdisc replace dev ${end.device} root blackhole`)
    if (traffic === 'slow') return at(end, `tc qdisc replace dev ${end.device} root ${this.#slow.join(' ')}`)
    await at(end, `ip link set ${end.device} up`)
    // fails where there is none: it was only down
    const [command, ...args] = [...end.enter, ...words(`tc qdisc del dev ${end.device} root`)]
    await run(command!, args)
  }
}

const words = (text: string): string[] => text.split(' ')

async function at({ enter }: End, line: string): Promise<void> {
  const [command, ...args] = [...enter, ...words(line)]
  await mustRun(command!, args)
}

async function address(end: End, host: string): Promise<void> {
  await at(end, `ip address add ${host}/24 dev ${end.device}`)
  await at(end, `ip link set ${end.device} up`)
}

/** A process that does nothing but keep a network namespace alive. */
const hold = (): ChildProcess =>
  spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity'], { stdio: 'ignore' })

function entered({ pid }: ChildProcess): Promise<true> {
  const ours = readlinkSync('/proc/self/ns/net')
  const theirs = () => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`)
    } catch {
      return ours
    }
  }
  return until('a network namespace is made', () => theirs() !== ours)
}

/** A delay where the kernel has netem, else a narrow pipe with a queue. */
async function slowness(): Promise<readonly string[]> {
  const delay = words('netem delay 20ms 15ms')
  const { code } = await run('tc', ['qdisc', 'replace', 'dev', 'castor', 'root', ...delay])
  await run('tc', ['qdisc', 'del', 'dev', 'castor', 'root'])
  return code === 0 ? delay : words('tbf rate 8mbit burst 16kb latency 500ms')
}
