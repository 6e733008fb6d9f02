import { at, type End, giveAddress, Namespace, wire, words } from '../support/namespaces.ts'
import type { NodeName } from '../support/pair.ts'
import { mustRun, run } from '../support/program.ts'

/** What happens to packets that leave a device. */
export type Traffic = 'open' | 'silent' | 'slow' | 'down'

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
  readonly #hosts: Record<NodeName, Namespace>
  readonly #slow: readonly string[]

  private constructor(hosts: Record<NodeName, Namespace>, slow: readonly string[]) {
    this.#hosts = hosts
    this.#slow = slow
  }

  static async make(): Promise<Namespaces> {
    await mustRun('ip', ['link', 'set', 'lo', 'up'])
    const [castor, pollux] = await Promise.all([Namespace.make(), Namespace.make()])
    await wire([castor, 'partner'], [pollux, 'partner'])
    await mustRun('ip', words(`link add name castor type veth peer name clients netns ${castor.pid}`))
    await mustRun('ip', words(`link add name pollux type veth peer name clients netns ${pollux.pid}`))
    const network = new Namespaces({ castor, pollux }, await slowness())
    for (const node of ['castor', 'pollux'] as const) {
      await giveAddress(network.#linkEnd(node), link[node])
      await giveAddress(network.#nodeEnd(node), hosts[node])
      await giveAddress({ enter: [], device: node }, clients[node])
    }
    return network
  }

  enter(node: NodeName): readonly string[] {
    return this.#hosts[node].enter
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
    for (const host of Object.values(this.#hosts)) host.close()
  }

  #linkEnd(node: NodeName): End {
    return { enter: this.enter(node), device: 'partner' }
  }

  #nodeEnd(node: NodeName): End {
    return { enter: this.enter(node), device: 'clients' }
  }

  async #set(end: End, traffic: Traffic): Promise<void> {
    const { device } = end
    if (traffic === 'down') await at(end, `ip link set ${device} down`)
    else if (traffic === 'silent') await at(end, `tc qdisc replace dev ${device} root blackhole`)
    else if (traffic === 'slow') await at(end, `tc qdisc replace dev ${device} root ${this.#slow.join(' ')}`)
    else await this.#open(end)
  }

  async #open(end: End): Promise<void> {
    await at(end, `ip link set ${end.device} up`)
    // fails where there is none: it was only down
    const [command, ...args] = [...end.enter, ...words(`tc qdisc del dev ${end.device} root`)]
    await run(command!, args)
  }
}

/** A delay where the kernel has netem, else a narrow pipe with a queue. */
async function slowness(): Promise<readonly string[]> {
  const delay = words('netem delay 20ms 15ms')
  const { code } = await run('tc', ['qdisc', 'replace', 'dev', 'castor', 'root', ...delay])
  await run('tc', ['qdisc', 'del', 'dev', 'castor', 'root'])
  return code === 0 ? delay : words('tbf rate 8mbit burst 16kb latency 500ms')
}
