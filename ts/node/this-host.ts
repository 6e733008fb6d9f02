import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** Whether an address in numbers, or 'localhost', is one of this host's own. */
export function isThisHost(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  if (isIP(host) === 4 && host.startsWith('127.')) return true
  return Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === host))
}
