import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { realpath } from 'node:fs/promises'
import { StoreError } from '../base/errors.ts'
import { type ListenAddress, listenText } from '../config/address.ts'

/** A volume as a client finds it: what an NBD URI says. */
export interface Target {
  readonly uri: string
  readonly place: ListenAddress
  readonly exportName: string
  /** `nbds://`: the connection begins with TLS */
  readonly isTls: boolean
  /** folder with ca-cert.pem, client-cert.pem and client-key.pem */
  readonly certificates: string | undefined
}

/** How the names of places are looked up. Both throw if there is none. */
export interface Names {
  addressesOf(host: string): Promise<readonly string[]>
  realPath(path: string): Promise<string>
}

const ofHost: Names = {
  addressesOf: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  realPath: realpath,
}

const PORT_DEFAULT = 10_809
/** Of what the kernel and the storage daemon call their things; the protocol allows more. */
const NAME_BYTE_LENGTH_MAX = 255

const mistake = (text: string, why: string): StoreError =>
  new StoreError('USAGE', `${text} ${why}; an NBD URI is like nbd://host:10809/vol0`)

/** Reads an NBD URI: nbd, nbds, nbd+unix or nbds+unix. Throws USAGE. */
export function parseTarget(text: string): Target {
  const uri = URL.canParse(text) ? new URL(text) : undefined
  const [, scheme, unix] = /^(nbds?)(\+unix)?:$/.exec(uri?.protocol ?? '') ?? []
  if (!uri || scheme === undefined) throw mistake(text, 'is not the URI of an NBD export')
  if (uri.username !== '' || uri.password !== '') throw mistake(text, 'names a user, which NBD does not know')
  const certificates = uri.searchParams.get('tls-certificates') ?? undefined
  if (certificates !== undefined && !certificates.startsWith('/')) {
    throw mistake(text, 'needs the whole path of a folder in tls-certificates=')
  }
  return {
    uri: text,
    place: unix ? socketOf(text, uri) : addressOf(text, uri),
    exportName: nameOf(text, uri),
    isTls: scheme === 'nbds',
    certificates,
  }
}

function nameOf(text: string, uri: URL): string {
  let name: string
  try {
    name = decodeURIComponent(uri.pathname.replace(/^\//, ''))
  } catch {
    throw mistake(text, 'has a broken % in the name of the volume')
  }
  if (name.includes('\0')) throw mistake(text, 'has a NUL in the name of the volume')
  if (Buffer.byteLength(name) > NAME_BYTE_LENGTH_MAX) throw mistake(text, 'has a name that is too long')
  return name
}

function addressOf(text: string, uri: URL): ListenAddress {
  const host = uri.hostname.replace(/^\[|\]$/g, '')
  if (host === '') throw mistake(text, 'names no host')
  return { host, port: uri.port === '' ? PORT_DEFAULT : Number(uri.port) }
}

function socketOf(text: string, uri: URL): ListenAddress {
  const path = uri.searchParams.get('socket') ?? ''
  if (!path.startsWith('/')) throw mistake(text, 'needs ?socket= with the whole path of a socket')
  return { path }
}

/**
 * The same for every URI of the same volume at the same place, whatever the place is called. A pair that
 * listens at several addresses serves its volumes at several places.
 */
export async function identityOf({ place, exportName }: Target, names: Names = ofHost): Promise<string> {
  const digest = createHash('sha256').update(
    JSON.stringify([listenText(await canonical(place, names)), exportName]),
  )
  const readable = exportName.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 40)
  return `${readable}-${digest.digest('hex').slice(0, 12)}`
}

/** One name for all that are known to be of one place; what cannot be looked up keeps its own. */
async function canonical(place: ListenAddress, names: Names): Promise<ListenAddress> {
  if ('path' in place) return { path: await names.realPath(place.path).catch(() => place.path) }
  const addresses = await names.addressesOf(place.host).catch(() => [place.host])
  if (addresses.some(isLoopback)) return { ...place, host: '127.0.0.1' }
  // a name may have several addresses, in any order
  return { ...place, host: [...addresses].sort()[0] ?? place.host }
}

const isLoopback = (address: string): boolean => /^127\.|^::1$|^::ffff:(127\.|7f)/.test(address)
