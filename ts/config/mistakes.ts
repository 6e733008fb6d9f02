import { isAbsolute } from 'node:path'
import { Ajv, type ErrorObject } from 'ajv'
import { BLOCK_SIZE, GIB, MIB } from '../base/units.ts'
import { LOG_PAGES_MIN } from '../format/log-ring.ts'
import { type Address, listenText, parseAddress, parseListenAddress } from './address.ts'
import { type Parsed, parseByteLength, parseDurationMs } from './quantities.ts'
import { type AggregateTable, type ListenerTable, NodeFile } from './schema.ts'
import { serviceMistakes } from './service-mistakes.ts'
import { tlsMistakes } from './tls-mistakes.ts'
import type { KeyPath } from './toml-lines.ts'

export interface Mistake {
  readonly path: KeyPath
  readonly text: string
}

/** A ring is one mapping of at most 4 GiB; this power of two leaves room for its descriptors. */
const DAY_MS = 24 * 3_600_000
const LOG_BYTE_LENGTH_MAX = 2 * GIB
const LOG_BYTE_LENGTH_MIN = LOG_PAGES_MIN * BLOCK_SIZE

const matchesSchema = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile<NodeFile>(
  NodeFile,
)

/** Every mistake of shape; none means that the document is a `NodeFile`. */
export function schemaMistakes(document: unknown): Mistake[] {
  return matchesSchema(document) ? [] : (matchesSchema.errors ?? []).map(describe)
}

function describe(error: ErrorObject): Mistake {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^[0-9]+$/.test(part) ? Number(part) : part))
  const parameters = error.params as Record<string, unknown>
  switch (error.keyword) {
    case 'additionalProperties':
      return { path: [...path, String(parameters['additionalProperty'])], text: 'is not a known key' }
    case 'required':
      return { path: [...path, String(parameters['missingProperty'])], text: 'is missing' }
    case 'enum':
      return { path, text: `must be one of ${(parameters['allowedValues'] as string[]).join(', ')}` }
    case 'pattern':
      return { path, text: patternText(String(parameters['pattern'])) }
    case 'type':
      return { path, text: typeText(parameters['type'] as string | string[]) }
    case 'minItems':
    case 'minLength':
      return { path, text: 'must not be empty' }
    default:
      return { path, text: error.message ?? 'is wrong' }
  }
}

const PLACE_TEXT = 'must be a list of paths, or "partner" if the disks are attached to the partner'

/** Only disks are of two types. */
const typeText = (type: string | string[]): string =>
  typeof type === 'string' ? `must be ${type}` : PLACE_TEXT

function patternText(pattern: string): string {
  if (pattern === '^partner$') return PLACE_TEXT
  return pattern.includes('a-f')
    ? 'must be an identity: 32 hexadecimal digits'
    : 'must be a name: letters, digits, . _ -'
}

/** What shape alone does not show: units, addresses, and how keys relate to each other. */
export function meaningMistakes(file: NodeFile): Mistake[] {
  const found: Mistake[] = []
  const add = (path: KeyPath, text: string | undefined) => text !== undefined && found.push({ path, text })
  if (file.partner.name === file.node.name) add(['partner', 'name'], 'must differ from node.name')
  if (file.partner.identity === file.node.identity)
    add(['partner', 'identity'], 'must differ from node.identity')
  add(['link', 'listen'], addressMistake(file.link.listen, 0))
  add(['partner', 'link'], addressMistake(file.partner.link, 1))
  add(['nvram', 'directory'], absoluteMistake(file.nvram.directory))
  add(['arbiter', 'directory'], absoluteMistake(file.arbiter.directory))
  add(['api', 'socket'], absoluteMistake(file.api.socket) ?? socketMistake(file.api.socket))
  for (const [key, value] of Object.entries(file.timing ?? {})) {
    add(['timing', key], quantityMistake(parseDurationMs(value), 1, 600_000, 'between 1ms and 10min'))
  }
  file.aggregate.forEach((aggregate, index) => {
    for (const { path, text } of aggregateMistakes(file, aggregate)) add(['aggregate', index, ...path], text)
  })
  if (file.tls !== undefined) found.push(...tlsMistakes(file.tls))
  return [
    ...found,
    ...serviceMistakes(file),
    ...listenerMistakes(file),
    ...repeated(file),
    ...portMistakes(file),
  ]
}

function listenerMistakes(file: NodeFile): Mistake[] {
  const known = file.aggregate.map(({ name }) => name)
  return (file.nbd ?? []).flatMap((listener, index) => {
    const { listen, aggregates = [] } = listener
    const found: Mistake[] = []
    const text = listenMistake(listen)
    if (text !== undefined) found.push({ path: ['nbd', index, 'listen'], text })
    const forward = forwardMistake(file, listener)
    if (forward !== undefined) found.push({ path: ['nbd', index, 'forward'], text: forward })
    for (const name of aggregates) {
      if (known.includes(name)) continue
      found.push({ path: ['nbd', index, 'aggregates'], text: `names '${name}', which is no aggregate` })
    }
    return found
  })
}

/** Clients are passed on before they have named a volume, and the partner's limits are its own. */
function forwardMistake(file: NodeFile, listener: ListenerTable): string | undefined {
  if (listener.forward !== true) return undefined
  if (listener.read_only === true) return 'cannot go with read_only: the partner would not hold clients to it'
  const { aggregates } = listener
  const here = file.aggregate.filter(({ name }) => aggregates === undefined || aggregates.includes(name))
  const services = new Set(here.map(({ service }) => service))
  if ([...services].some((service) => isEverywhere(listener.listen, service)))
    return `would pass clients on to itself: ${listener.listen} is the service address, too, where that is here`
  if (services.size <= 1) return undefined
  return `needs aggregates of one service address; list some: ${here.map(({ name }) => name).join(' or ')}`
}

/** Whether a listener at all addresses has the port of this one. */
function isEverywhere(listen: string, service: string): boolean {
  const [all, one] = [parseListenAddress(listen), parseAddress(service)]
  return all !== undefined && 'port' in all && all.port === one?.port && /^(0\.0\.0\.0|::)$/.test(all.host)
}

function listenMistake(text: string): string | undefined {
  const address = parseListenAddress(text)
  if (address === undefined || !('path' in address)) return addressMistake(text, 1)
  return absoluteMistake(address.path) ?? socketMistake(address.path)
}

function aggregateMistakes(file: NodeFile, aggregate: AggregateTable): Mistake[] {
  const found: Mistake[] = []
  const add = (path: KeyPath, text: string | undefined) => text !== undefined && found.push({ path, text })
  const names = [file.node.name, file.partner.name]
  if (names[0] !== names[1] && !names.includes(aggregate.home)) {
    add(['home'], `must be ${names.join(' or ')}`)
  }
  add(['service'], addressMistake(aggregate.service, 1))
  for (const disk of disksHere(aggregate.disks)) add(['disks'], absoluteMistake(disk))
  for (const disk of disksHere(aggregate.mirror)) add(['mirror'], absoluteMistake(disk))
  add(['mirror'], mirrorMistake(aggregate))
  if (aggregate.log_size !== undefined) add(['log_size'], logSizeMistake(aggregate.log_size))
  if (aggregate.cache_size !== undefined) {
    const parsed = parseByteLength(aggregate.cache_size)
    add(['cache_size'], quantityMistake(parsed, 1024 * 1024, 4 * GIB, 'between 1MiB and 4GiB'))
  }
  if (aggregate.cp_interval !== undefined) {
    const parsed = parseDurationMs(aggregate.cp_interval)
    add(['cp_interval'], quantityMistake(parsed, 10, 3_600_000, 'between 10ms and 60min'))
  }
  return [...found, ...scrubMistakes(aggregate)]
}

/** Disks of a plex that are attached to this node. */
const disksHere = (place: AggregateTable['disks'] | undefined): readonly string[] =>
  place === undefined || place === 'partner' ? [] : place

/** Disk i of one plex mirrors disk i of the other, whoever's they are. */
function mirrorMistake({ disks, mirror }: AggregateTable): string | undefined {
  if (disks === 'partner' && (mirror === undefined || mirror === 'partner')) {
    const is = mirror === undefined ? 'is missing' : 'cannot be "partner" as well'
    return `${is}: with disks = "partner", it lists the disks that are attached to this node`
  }
  if (disks === 'partner' || mirror === 'partner' || mirror === undefined) return undefined
  if (mirror.length === disks.length) return undefined
  return `must have one disk for each of disks: ${disks.length}, not ${mirror.length}`
}

function scrubMistakes({ scrub_interval: interval, scrub_rate: rate }: AggregateTable): Mistake[] {
  const found: Mistake[] = []
  const add = (key: string, text: string | undefined) =>
    text !== undefined && found.push({ path: [key], text })
  if (interval !== undefined && interval !== '0s') {
    const parsed = parseDurationMs(interval)
    add(
      'scrub_interval',
      quantityMistake(parsed, 60_000, 366 * DAY_MS, 'between 1min and 366d, or 0s: never'),
    )
  }
  if (rate !== undefined) {
    const parsed = parseByteLength(rate)
    add('scrub_rate', quantityMistake(parsed, MIB, 64 * GIB, 'between 1MiB and 64GiB (per second)'))
  }
  return found
}

/** Names, identities and disks that must be there once only. */
function repeated(file: NodeFile): Mistake[] {
  const seen = new Map<string, string>()
  const found: Mistake[] = []
  const once = (path: KeyPath, what: string, value: string) => {
    const before = seen.get(`${what} ${value}`)
    if (before !== undefined) found.push({ path, text: `repeats the ${what} of ${before}` })
    else seen.set(`${what} ${value}`, path.join('.'))
  }
  file.aggregate.forEach((aggregate, index) => {
    once(['aggregate', index, 'name'], 'name', aggregate.name)
    once(['aggregate', index, 'identity'], 'identity', aggregate.identity)
    for (const disk of disksHere(aggregate.disks)) once(['aggregate', index, 'disks'], 'disk', disk)
    for (const disk of disksHere(aggregate.mirror)) once(['aggregate', index, 'mirror'], 'disk', disk)
  })
  return found
}

/** Aggregates of one home share a service address; those of two homes cannot. */
function portMistakes(file: NodeFile): Mistake[] {
  const used = new Map<string, string>()
  const claim = (address: string, by: string): string | undefined => {
    const parsed = parseListenAddress(address)
    if (!parsed || ('port' in parsed && parsed.port === 0)) return undefined
    const name = listenText(parsed)
    const before = used.get(name) ?? by
    used.set(name, before)
    return before === by ? undefined : `${name} is taken by ${before}`
  }
  const found: Mistake[] = []
  const add = (path: KeyPath, text: string | undefined) => text !== undefined && found.push({ path, text })
  add(['link', 'listen'], claim(file.link.listen, 'link.listen'))
  add(['partner', 'link'], claim(file.partner.link, 'partner.link'))
  file.aggregate.forEach(({ service, home }, index) => {
    add(['aggregate', index, 'service'], claim(service, `the aggregates of ${home}`))
  })
  file.nbd?.forEach(({ listen }, index) => {
    add(['nbd', index, 'listen'], claim(listen, `nbd[${index}]`))
  })
  return found
}

function addressMistake(text: string, portMin: number): string | undefined {
  const address: Address | undefined = parseAddress(text)
  if (!address) return `must be an address like "127.0.0.1:10809", not ${JSON.stringify(text)}`
  return address.port < portMin ? 'must name a port' : undefined
}

const absoluteMistake = (path: string): string | undefined =>
  isAbsolute(path) ? undefined : `must be an absolute path, not ${JSON.stringify(path)}`

/** sockaddr_un has 108 bytes, one of them for the end. */
const socketMistake = (path: string): string | undefined =>
  Buffer.byteLength(path) > 107 ? 'is longer than the 107 bytes that a socket path may have' : undefined

function logSizeMistake(text: string): string | undefined {
  const parsed = parseByteLength(text)
  const outside = quantityMistake(parsed, LOG_BYTE_LENGTH_MIN, LOG_BYTE_LENGTH_MAX, 'between 1MiB and 2GiB')
  if (outside !== undefined || 'mistake' in parsed) return outside
  return Number.isInteger(Math.log2(parsed.value)) ? undefined : 'must be a power of two, as 128MiB is'
}

function quantityMistake(parsed: Parsed, min: number, max: number, range: string): string | undefined {
  if ('mistake' in parsed) return parsed.mistake
  return parsed.value < min || parsed.value > max ? `must be ${range}` : undefined
}
