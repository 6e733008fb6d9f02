import type { NodeEvent } from '../node/events.ts'
import type { EngineStatus, RequestBody, RequestName, RequestResult, RoleChange } from '../node/messages.ts'
import type { AddressStatus } from '../node/service-address.ts'

/** What `GET /status` of one node says; it needs nobody else to be alive. */
export interface NodeStatus {
  readonly name: string
  readonly pid: number
  readonly version: string
  readonly boot: string
  readonly startedMs: number
  readonly partner: string
  /** path of the control socket */
  readonly api: string
  readonly state: 'running' | 'stopping'
  /** whether the addresses of the services are open here */
  readonly services: readonly ServiceStatus[]
  /** addresses that the node sets on its interfaces itself */
  readonly addresses: readonly AddressStatus[]
  readonly aggregates: readonly (EngineStatus | SilentEngine)[]
  readonly events: readonly NodeEvent[]
}

export interface ServiceStatus {
  readonly address: string
  /** whose clients come here */
  readonly aggregates: readonly string[]
  readonly open: boolean
  /** whether clients may or must come over TLS */
  readonly tls: 'none' | 'offered' | 'required'
  /** clients that are passed on to the partner now */
  readonly forwarded: number
}

/** An engine that has not answered in time. */
export interface SilentEngine {
  readonly aggregate: string
  readonly home: string
  readonly silent: string
}

export function isSilent(engine: EngineStatus | SilentEngine): engine is SilentEngine {
  return 'silent' in engine
}

export type AggregateRoleChange = RoleChange & { readonly aggregate: string }

/** An aggregate of this node, as far as the API has to know it. */
export interface AggregateView {
  readonly name: string
  readonly home: string
  readonly serves: boolean
  readonly because: string
  readonly volumes: readonly { readonly name: string; readonly size: number }[]
}

/** What the API may ask of its node. */
export interface NodeControl {
  readonly name: string
  status(): Promise<NodeStatus>
  events(afterNumber: number): readonly NodeEvent[]
  aggregates(): readonly AggregateView[]
  request<N extends RequestName>(
    aggregate: string,
    name: N,
    body: RequestBody<N>,
    timeoutMs: number,
  ): Promise<RequestResult<N>>
  /** Begins to stop; returns at once. */
  stop(pair: boolean): void
}
