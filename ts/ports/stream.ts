import type { Gather } from '../base/gather.ts'
import type { Completion } from './completion.ts'

/** A connected byte stream: a client's or the partner's TCP connection. */
export interface Stream {
  /** Who is at the other end, for messages. */
  readonly peer: string
  /** At most one receive at a time. Completes with bytes received, 0 at the end of the stream, or -errno. */
  receive(address: number, byteLength: number, done: Completion): void
  /** At most one send at a time. Completes with the full length, or -errno. */
  send(from: Gather, done: Completion): void
  /** Shuts the connection down at once. Operations in flight still complete; then it is freed. */
  close(): void
}
