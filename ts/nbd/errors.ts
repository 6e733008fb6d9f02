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

/** Why a request is refused: the error, and a message that goes with it in a structured reply. */
export interface Refusal {
  readonly error: number
  readonly text: Uint8Array
}

const encoder = new TextEncoder()

function refusal(error: number, text: string): Refusal {
  return { error, text: encoder.encode(text) }
}

/** Everything that a request may be refused for, with its message encoded once. */
export const refusals = {
  UNKNOWN_COMMAND: refusal(NbdError.EINVAL, 'the command is not known'),
  WRONG_FLAGS: refusal(NbdError.EINVAL, 'a flag does not belong to this command, or was not agreed on'),
  NO_PAYLOAD: refusal(NbdError.EINVAL, 'with extended headers a write has the payload flag'),
  WRONG_PAYLOAD: refusal(NbdError.EINVAL, 'the payload does not name contexts that were selected, each once'),
  NO_CONTEXT: refusal(NbdError.EINVAL, 'no metadata context was selected'),
  NO_STATUS_OF_NOTHING: refusal(NbdError.EINVAL, 'there is no status of 0 bytes'),
  PAYLOAD_TOO_LARGE: refusal(NbdError.EINVAL, 'more than 32 MiB in one request'),
  ENDS_BEHIND: refusal(NbdError.EINVAL, 'the request reaches beyond the end of the export'),
  WRITES_BEHIND: refusal(NbdError.ENOSPC, 'the request writes beyond the end of the export'),
  READ_ONLY: refusal(NbdError.EPERM, 'the export is read-only'),
  FULL: refusal(NbdError.ENOSPC, 'the aggregate is full'),
  UNREADABLE: refusal(NbdError.EIO, 'a block cannot be read; see the events of the node'),
  GONE: refusal(NbdError.EIO, 'the volume does not exist any more'),
  TOO_LARGE_FOR_ONE_CHUNK: refusal(NbdError.EOVERFLOW, 'so much data does not come in one chunk'),
} as const

/** Longest of those messages, for reserving room. */
export const REFUSAL_TEXT_BYTE_LENGTH_MAX = Math.max(
  ...Object.values(refusals).map(({ text }) => text.length),
)
