import { StoreError } from '../base/errors.ts'
import { NbdError } from '../format/nbd.ts'

/** Errors of Linux that have a meaning on the wire, by errno; all others are EIO. */
const wireErrors = new Map<number, number>([
  [1, NbdError.EPERM],
  [12, NbdError.ENOMEM],
  [22, NbdError.EINVAL],
  [27, NbdError.ENOSPC], // EFBIG
  [28, NbdError.ENOSPC],
  [30, NbdError.EPERM], // EROFS
  [75, NbdError.EOVERFLOW],
  [95, NbdError.ENOTSUP],
  [108, NbdError.ESHUTDOWN],
  [122, NbdError.ENOSPC], // EDQUOT
])

/**
 * What a client hears of a failure: a StoreError, or an errno of either sign as completions carry
 * it. The only place that turns our failures into NBD's.
 */
export function nbdErrorOf(failure: StoreError | number): number {
  const errno = failure instanceof StoreError ? failure.nbdError : Math.abs(failure)
  return wireErrors.get(errno) ?? NbdError.EIO
}

/** True if the failure must not reach the client at all: without an answer it replays with the next owner. */
export function endsSession(nbdError: number): boolean {
  return nbdError === NbdError.ESHUTDOWN
}

const encoder = new TextEncoder()
const texts = new Map<number, Uint8Array>([
  [NbdError.EPERM, encoder.encode('the export is read-only')],
  [NbdError.EIO, encoder.encode('the data cannot be read or written; see the events of the node')],
  [NbdError.ENOMEM, encoder.encode('the node has no memory for this request')],
  [NbdError.EINVAL, encoder.encode('the request is not valid for this export')],
  [NbdError.ENOSPC, encoder.encode('past the end of the volume, or the aggregate is full')],
  [NbdError.EOVERFLOW, encoder.encode('the request is too large')],
  [NbdError.ENOTSUP, encoder.encode('not supported')],
  [NbdError.ESHUTDOWN, encoder.encode('the node does not serve this export any more')],
])
const NO_TEXT = new Uint8Array(0)

/** The message that goes with an error in a structured reply, encoded once. */
export function nbdErrorText(nbdError: number): Uint8Array {
  return texts.get(nbdError) ?? NO_TEXT
}

/** Longest of those messages, for reserving room. */
export const ERROR_TEXT_BYTE_LENGTH_MAX = Math.max(...[...texts.values()].map((text) => text.length))
