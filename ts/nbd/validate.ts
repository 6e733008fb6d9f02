import { MIB } from '../base/units.ts'
import { Command, CommandFlag } from '../format/nbd.ts'
import { type Refusal, refusals } from './errors.ts'
import { PAYLOAD_BYTE_LENGTH_MAX } from './export.ts'
import { NO_CONTEXTS } from './meta-context.ts'
import type { RequestReader } from './transmission.ts'

/** What a session was promised at its start. */
export interface SessionLimits {
  readonly byteLength: number
  readonly readOnly: boolean
  /** replies come in chunks, whatever headers these have */
  readonly structured: boolean
  readonly extended: boolean
  /** the set of those that may be asked for */
  readonly contexts: number
}

/** A refused WRITE's payload is read and thrown away up to here; beyond it, ending the session is cheaper. */
export const DISCARDED_PAYLOAD_MAX = 64 * MIB

/** The flags that each command may carry, by command. FUA is legal on all once it was offered. */
const flagsOfCommand = new Uint16Array(Command.BLOCK_STATUS + 1).fill(CommandFlag.FUA)
flagsOfCommand[Command.WRITE_ZEROES]! |= CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO

/**
 * Every rule about a request that needs only its header, in one place: undefined, or why it is refused.
 * Code behind it takes the request for valid. A payload follows whatever the result.
 */
export function validate(request: RequestReader, limits: SessionLimits): Refusal | undefined {
  const command = request.command
  if (command === Command.DISC) return undefined
  if (command >= flagsOfCommand.length) return refusals.UNKNOWN_COMMAND
  if ((request.flags & ~allowedFlags(command, limits)) !== 0) return refusals.WRONG_FLAGS
  // clients exist that fill in offset and length here
  if (command === Command.FLUSH) return undefined
  const writes = command === Command.WRITE || command === Command.WRITE_ZEROES
  if (limits.readOnly && (writes || command === Command.TRIM)) return refusals.READ_ONLY
  if (command === Command.BLOCK_STATUS) return mistakeInStatus(request, limits)
  const hasPayload = command === Command.READ || command === Command.WRITE
  if (hasPayload && request.length > PAYLOAD_BYTE_LENGTH_MAX) return refusals.PAYLOAD_TOO_LARGE
  if (command === Command.WRITE && request.payloadLength !== request.length) return refusals.NO_PAYLOAD
  return mistakeInRange(request, limits.byteLength)
}

/** Why a request reaches beyond the end, if it does. The volume of one under way may shrink. */
export function mistakeInRange(request: RequestReader, byteLength: number): Refusal | undefined {
  const isExact = !request.offsetOutOfRange && !request.lengthOutOfRange
  // the sum of offset and length is never formed: it might not be exact
  if (isExact && request.offset <= byteLength - request.length) return undefined
  const writes = request.command === Command.WRITE || request.command === Command.WRITE_ZEROES
  return writes ? refusals.WRITES_BEHIND : refusals.ENDS_BEHIND
}

/** Whether so much follows a header that ending the session is the only answer. */
export function isTooMuchPayload(request: RequestReader, limits: SessionLimits): boolean {
  return request.payloadLength > (limits.extended ? PAYLOAD_BYTE_LENGTH_MAX : DISCARDED_PAYLOAD_MAX)
}

function allowedFlags(command: number, limits: SessionLimits): number {
  const flags = flagsOfCommand[command]!
  if (!limits.structured) return flags
  if (command === Command.READ) return flags | CommandFlag.DF
  if (command === Command.BLOCK_STATUS) {
    return flags | CommandFlag.REQ_ONE | (limits.extended ? CommandFlag.PAYLOAD_LEN : 0)
  }
  const carries = limits.extended && command === Command.WRITE
  return carries ? flags | CommandFlag.PAYLOAD_LEN : flags
}

function mistakeInStatus(request: RequestReader, limits: SessionLimits): Refusal | undefined {
  if (limits.contexts === NO_CONTEXTS) return refusals.NO_CONTEXT
  const namesOthers = (request.contexts & ~limits.contexts) !== 0
  if (request.hasWrongPayload || namesOthers) return refusals.WRONG_PAYLOAD
  if (request.length === 0) return refusals.NO_STATUS_OF_NOTHING
  return mistakeInRange(request, limits.byteLength)
}
