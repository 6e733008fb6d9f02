import { BlockList, isIP } from 'node:net'
import { addressBits, canonicalHost, parseAddress } from './address.ts'
import type { AggregateTable, NodeFile } from './schema.ts'
import type { KeyPath } from './toml-lines.ts'

interface Found {
  readonly path: KeyPath
  readonly text: string
}

/** Addresses that no host can have for itself on an interface, or that mean something else on every one. */
const impossible = { ipv4: new BlockList(), ipv6: new BlockList() } as const
impossible.ipv4.addSubnet('0.0.0.0', 8)
impossible.ipv4.addSubnet('127.0.0.0', 8)
impossible.ipv4.addSubnet('224.0.0.0', 3)
impossible.ipv6.addSubnet('::', 127, 'ipv6')
impossible.ipv6.addSubnet('::ffff:0:0', 96, 'ipv6')
impossible.ipv6.addSubnet('fe80::', 10, 'ipv6')
impossible.ipv6.addSubnet('ff00::', 8, 'ipv6')

/** What is wrong with the addresses that a node is to set on its interfaces; nothing is asked of the host. */
export function serviceMistakes(file: NodeFile): Found[] {
  const found: Found[] = []
  file.aggregate.forEach((aggregate, index) => {
    const add = (key: string, text: string | undefined) =>
      text !== undefined && found.push({ path: ['aggregate', index, key], text })
    if (aggregate.interface === undefined) {
      const isAlone = aggregate.prefix_length !== undefined
      add('prefix_length', isAlone ? 'has no meaning without interface' : undefined)
      add('interface', neighbourMistake(file, aggregate))
      return
    }
    add('interface', interfaceMistake(aggregate.interface))
    const host = hostOf(aggregate.service)
    if (host === undefined) return
    const prefix = aggregate.prefix_length
    add('service', hostMistake(host) ?? linkMistake(file, host) ?? edgeMistake(host, prefix))
    add('prefix_length', prefixMistake(host, prefix))
    add('service', sharingMistake(file, aggregate))
  })
  return found
}

const hostOf = (address: string): string | undefined => {
  const host = parseAddress(address)?.host
  return host === undefined ? undefined : canonicalHost(host)
}

/** As the kernel has it: 15 bytes at most, no blanks, no slash, no colon. */
const interfaceMistake = (name: string): string | undefined =>
  /^[^\s/:]{1,15}$/.test(name) && name !== '.' && name !== '..'
    ? undefined
    : `must be the name of an interface, as "eth0", not ${JSON.stringify(name)}`

function hostMistake(host: string): string | undefined {
  const version = isIP(host)
  if (version === 0) return `must be an address in numbers to be set on an interface, not ${host}`
  const family = version === 6 ? 'ipv6' : 'ipv4'
  return impossible[family].check(host, family)
    ? `cannot be set on an interface: ${host} is not the address of one host in its network`
    : undefined
}

function linkMistake({ link, partner }: NodeFile, host: string): string | undefined {
  if (hostOf(link.listen) === host) return 'moves between the nodes, so link.listen needs another address'
  if (hostOf(partner.link) === host) return 'moves between the nodes, so partner.link needs another address'
  return undefined
}

function prefixMistake(host: string, prefix: number | undefined): string | undefined {
  const bits = addressBits(host)
  return prefix !== undefined && prefix > bits ? `must be at most ${bits} for ${host}` : undefined
}

/** Of IPv4, with a prefix of more than two addresses: the first one and the last one are no host's. */
function edgeMistake(host: string, prefix = 32): string | undefined {
  if (isIP(host) !== 4 || prefix >= 31) return undefined
  const number = host.split('.').reduce((before, byte) => before * 256 + Number(byte), 0)
  const count = 2 ** (32 - prefix)
  const at = number % count
  if (at !== 0 && at !== count - 1) return undefined
  const what = at === 0 ? 'the address of the network itself' : 'the one for all hosts of the network'
  return `cannot be set on an interface: with prefix_length ${prefix}, ${host} is ${what}`
}

/** Aggregates that share a moving address move together, so they have one home and one interface. */
function sharingMistake(file: NodeFile, aggregate: AggregateTable): string | undefined {
  const host = hostOf(aggregate.service)
  const first = file.aggregate.find(
    (other) => other.interface !== undefined && hostOf(other.service) === host,
  )
  if (first === undefined || first === aggregate) return undefined
  if (first.home !== aggregate.home)
    return `shares ${host} with ${first.name}, which has another home; give it an address of its own`
  const isSame = first.interface === aggregate.interface && first.prefix_length === aggregate.prefix_length
  return isSame
    ? undefined
    : `shares ${host} with ${first.name}: interface and prefix_length must be the same`
}

/** Of an aggregate without an interface. */
function neighbourMistake(file: NodeFile, { service }: AggregateTable): string | undefined {
  const host = hostOf(service)
  const first = file.aggregate.find(
    (other) => other.interface !== undefined && hostOf(other.service) === host,
  )
  if (host === undefined || first === undefined) return undefined
  return `is missing: ${first.name} has the same address, ${host}, and sets it on ${first.interface}`
}
