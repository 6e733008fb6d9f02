import type { Test } from 'tap'
import { at, giveAddress, Namespace, wire } from './namespaces.ts'
import { type NodeName, nodeNames } from './pair.ts'

/** Whoever has a wire to the bridge. */
export type LanHost = NodeName | 'client'

const hosts: readonly LanHost[] = [...nodeNames, 'client']
const onBridge: Record<LanHost, number> = { castor: 1, pollux: 2, client: 3 }

/** The device of each host that leads to the bridge, and of each node that leads to its partner. */
export const LAN = 'lan0'
export const PARTNER = 'partner0'

/** The address that moves with a node's aggregate, and the one of the node on the wire to its partner. */
export const moving: Record<NodeName, string> = { castor: '10.83.0.10', pollux: 'fd00:83::20' }
export const link: Record<NodeName, string> = { castor: '10.84.0.1', pollux: '10.84.0.2' }

/**
 * Two nodes and a client on one bridge, each on a host of its own as far as the network goes, with another
 * wire between the two nodes.
 */
export class Lan {
  readonly #spaces: Record<LanHost, Namespace>
  readonly #bridge: Namespace

  private constructor(spaces: Record<LanHost, Namespace>, bridge: Namespace) {
    this.#spaces = spaces
    this.#bridge = bridge
  }

  static async make(t: Test): Promise<Lan> {
    const [castor, pollux, client, bridge] = await Promise.all(
      Array.from({ length: 4 }, () => Namespace.make()),
    )
    const lan = new Lan({ castor: castor!, pollux: pollux!, client: client! }, bridge!)
    t.teardown(() => lan.#close())
    await at(bridge!, 'ip link add name bridge type bridge')
    await at(bridge!, 'ip link set bridge up')
    for (const host of hosts) {
      await wire([bridge!, host], [lan.#spaces[host], LAN])
      await at(bridge!, `ip link set ${host} master bridge`)
      await at(bridge!, `ip link set ${host} up`)
      await giveAddress(lan.#spaces[host].end(LAN), `10.83.0.${onBridge[host]}`)
      await at(lan.#spaces[host], `ip address add fd00:83::${onBridge[host]}/64 dev ${LAN} nodad`)
    }
    await wire([castor!, PARTNER], [pollux!, PARTNER])
    for (const node of nodeNames) await giveAddress(lan.#spaces[node].end(PARTNER), link[node])
    return lan
  }

  enter(host: LanHost): readonly string[] {
    return this.#spaces[host].enter
  }

  /** Whether the wire of a host is plugged in. It is the far end that changes: the host sees no link. */
  async plug(host: LanHost, isIn: boolean): Promise<void> {
    await at(this.#bridge, `ip link set ${host} ${isIn ? 'up' : 'down'}`)
  }

  async plugPartners(isIn: boolean): Promise<void> {
    await at(this.#spaces.pollux, `ip link set ${PARTNER} ${isIn ? 'up' : 'down'}`)
  }

  /** The nodes on whose host an address is. */
  async holders(address: string): Promise<NodeName[]> {
    const found = await Promise.all(
      nodeNames.map(async (node) => {
        const text = await at(this.#spaces[node], `ip -o address show to ${address}`)
        return text.includes(` ${address}/`) ? [node] : []
      }),
    )
    return found.flat()
  }

  async mac(node: NodeName): Promise<string> {
    const text = await at(this.#spaces[node], `ip -o link show dev ${LAN}`)
    return /link\/ether (\S+)/.exec(text)![1]!
  }

  /** Which hardware the client sends to for an address; empty if it does not know. */
  async neighbour(address: string): Promise<string> {
    const text = await at(this.#spaces.client, `ip neighbour show to ${address} dev ${LAN}`)
    return /lladdr (\S+)/.exec(text)?.[1] ?? ''
  }

  /** The TCP sockets of a host at a port, its own or that of the other end, with their timers. */
  async sockets(host: LanHost, port: number): Promise<string> {
    return at(this.#spaces[host], `ss -Htano sport = ${port} or dport = ${port}`)
  }

  #close(): void {
    for (const space of [...Object.values(this.#spaces), this.#bridge]) space.close()
  }
}
