/** Where a socket listens or connects. */
export interface Address {
  readonly host: string
  readonly port: number
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
