import type { StoreError } from '../base/errors.ts'

/** What an engine tells its node; the node never looks into an engine. */
export interface HostPort {
  /** A line for people, with facts. `kind` is a short stable word for each sort of event. */
  event(level: 'info' | 'warn' | 'error', kind: string, text: string, facts?: Record<string, unknown>): void
  /** Role or volumes have changed: the node opens or closes the service address and its catalogue. */
  serving(state: ServingState): void
  /** The answer to a request of the control path. */
  answer(request: number, result: unknown, error?: StoreError): void
  /** The engine wants a link connection (again), or none. One wish is one connection: it may be of no use. */
  wantLink(wanted: boolean): void
}

export interface ServingState {
  readonly serves: boolean
  /** why not, in words, when it does not serve */
  readonly because: string
  readonly volumes: readonly { volume: number; name: string; size: number }[]
}
