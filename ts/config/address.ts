import { isIP } from 'node:net'

/** Where a socket listens or connects. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Where a Unix socket is. */
export interface SocketPath {
  readonly path: string
}

/** Where clients of this node find it: over TCP, or on the same host. */
export type ListenAddress = Address | SocketPath

const UNIX = 'unix:'

/** As `parseAddress`, and "unix:/run/pollux/nbd.sock"; whether the path is a good one is not looked at. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  return text.startsWith(UNIX) ? { path: text.slice(UNIX.length) } : parseAddress(text)
}

export function listenText(address: ListenAddress): string {
  return 'path' in address ? `${UNIX}${address.path}` : addressText(address)
}

/** "127.0.0.1:10809" or "[::1]:10809"; undefined if it is neither. */
export function parseAddress(text: string): Address | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):([0-9]{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? plain
  if (host === undefined || port > 65535) return undefined
  return { host, port }
}

export function addressText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export const addressBits = (host: string): number => (isIP(host) === 6 ? 128 : 32)

/** One text for all ways to write an address in numbers; names stay as they are. */
export function canonicalHost(host: string): string {
  return isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host
}
