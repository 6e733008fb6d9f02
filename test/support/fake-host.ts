import { type AddressPlace, hostAddresses, type InterfaceState } from '../../ts/adapters/addresses.ts'
import { StoreError } from '../../ts/base/errors.ts'
import { claimantOf, encodeAnnouncement, macText } from '../../ts/format/neighbour.ts'
import type { AddressTools } from '../../ts/node/service-address.ts'

const ADDRESS = Uint8Array.of(10, 0, 0, 10)

/** A host with one interface, eth0, which has the addresses that it is given, and says what it was told. */
export class FakeHost {
  state: InterfaceState | undefined = {
    index: 2,
    isUp: true,
    isRunning: true,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  }
  places: AddressPlace[] = []
  /** what is refused, by name of the function */
  refusals: Record<string, string> = {}
  /** frames that it hears next */
  heard: Uint8Array[] = []
  /** its sysctl promote_secondaries */
  promotes = false
  /** set, removed, reset and sent, in order */
  done: string[] = []

  readonly tools: AddressTools = {
    ...hostAddresses,
    stateOf: (name) => (name === 'eth0' ? this.state : undefined),
    find: () => this.places,
    set: (_address, place, lifetimeSeconds) => {
      this.#refuse('set')
      this.done.push(`set for ${lifetimeSeconds} s`)
      this.places = [...this.places.filter(({ index }) => index !== place.index), place]
    },
    remove: (_address, place) => {
      this.#refuse('remove')
      if (!this.places.includes(place)) return
      this.done.push('removed')
      this.places = this.places.filter((one) => one !== place)
    },
    tryOut: () => this.#refuse('tryOut'),
    resetConnections: () => {
      this.#refuse('resetConnections')
      this.done.push('reset')
    },
    openFrames: (index) => {
      this.#refuse('openFrames')
      return 100 + index
    },
    closeFrames: (descriptor) => this.done.push(`closed ${descriptor}`),
    sendFrame: (_descriptor, index, frame) => this.done.push(`sent ${frame.length} bytes by ${index}`),
    receiveFrame: () => this.heard.shift(),
    macsHere: () => (this.refusals['macsHere'] === undefined ? [] : undefined),
    promotesSecondaries: () => this.promotes,
  }

  /** Another host announces the address. */
  claim(last: number): string {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, last)
    this.heard.push(encodeAnnouncement(mac, ADDRESS))
    return macText(claimantOf(this.heard.at(-1)!)!)
  }

  /** What was done since this was asked last. */
  take(): string[] {
    return this.done.splice(0)
  }

  #refuse(name: string): void {
    const why = this.refusals[name]
    if (why !== undefined) throw new StoreError('ADDRESS_UNUSABLE', why)
  }
}
