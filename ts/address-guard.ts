import { setTimeout as sleep } from 'node:timers/promises'
import { hostAddresses } from './adapters/addresses.ts'
import { EventLog } from './node/events.ts'
import { endClients, PARTING_MS, removeAddress } from './node/service-address.ts'

/*
 * The process beside a node that sets service addresses: node address-guard.js NODE SILENCE_MS ADDRESS...
 * Whatever comes on standard input says that the node runs. When that ends, or nothing comes for too long, it
 * removes the addresses. A node that goes on afterwards sets them again, if it still has the right to.
 */
const [node = '', silenceMs = '', ...addresses] = process.argv.slice(2)
const events = new EventLog(node)

/** All are removed before anything is said: whoever reads what is said may have hung up, or may be slow. */
async function removeAll(why: string): Promise<void> {
  const told: (() => void)[] = []
  const tell = (level: 'warn' | 'error', event: string, text: string) =>
    told.push(() => events.add(level, event, text))
  const carefully = (step: () => boolean): boolean => {
    try {
      return step()
    } catch (error) {
      tell('error', 'service-address-stays', (error as Error).message)
      return false
    }
  }
  const complain = (text: string) => tell('warn', 'service-clients-left', text)
  const there = addresses.filter((address) => carefully(() => endClients(address, hostAddresses, complain)))
  if (there.length > 0) await sleep(PARTING_MS)
  for (const address of there) {
    carefully(() => {
      endClients(address, hostAddresses, complain)
      removeAddress(address, hostAddresses)
      tell('warn', 'service-address-removed', `the guard has removed ${address}: ${why}`)
      return true
    })
  }
  for (const say of told) say()
}

let silence: NodeJS.Timeout | undefined
let beats = 0
function heard(): void {
  beats += 1
  clearTimeout(silence)
  silence = setTimeout(look, Number(silenceMs), beats)
}

/** It may be this process that has not run: what has come meanwhile is read before it is decided. */
function look(lastBeat: number): void {
  setImmediate(() => {
    if (beats === lastBeat) void removeAll(`the node has been silent for ${silenceMs} ms`)
  })
}

// it ends when its node does, not when somebody ends both
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.stdin.on('data', heard)
process.stdin.on('error', () => {})
process.stdin.on('close', async () => {
  await removeAll('the node has ended')
  process.exit(0)
})
heard()
