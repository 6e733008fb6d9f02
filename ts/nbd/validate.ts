import { MIB } from '../base/units.ts'
import { Command, CommandFlag, NbdError } from '../format/nbd.ts'
import { PAYLOAD_BYTE_LENGTH_MAX } from './export.ts'
import type { RequestReader } from './transmission.ts'

/** What a session was promised at its start. */
export interface SessionLimits {
  readonly byteLength: number
  readonly readOnly: boolean
  readonly structured: boolean
}

/** A refused WRITE's payload is read and thrown away up to here; beyond it, ending the session is cheaper. */
export const DISCARDED_PAYLOAD_MAX = 64 * MIB

/** The flags that each command may carry, by command. FUA is legal on all once it was offered. */
const flagsOfCommand = new Uint16Array(Command.WRITE_ZEROES + 1).fill(CommandFlag.FUA)
flagsOfCommand[Command.WRITE_ZEROES]! |= CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO

/**
 * Every rule about a request that needs only its header, in one place: 0, or the error to answer.
 * Code behind it takes the request for valid. The payload of a WRITE follows whatever the result.
 */
export function validate(request: RequestReader, limits: SessionLimits): number {
  const command = request.command
  if (command === Command.DISC) return 0
  if (command >= flagsOfCommand.length) return NbdError.EINVAL
  let flags = flagsOfCommand[command]!
  if (command === Command.READ && limits.structured) flags |= CommandFlag.DF
  if ((request.flags & ~flags) !== 0) return NbdError.EINVAL
  // clients exist that fill in offset and length here
  if (command === Command.FLUSH) return 0
  const writes = command === Command.WRITE || command === Command.WRITE_ZEROES
  if (limits.readOnly && (writes || command === Command.TRIM)) return NbdError.EPERM
  const hasPayload = command === Command.READ || command === Command.WRITE
  if (hasPayload && request.length > PAYLOAD_BYTE_LENGTH_MAX) return NbdError.EINVAL
  return errorPastTheEnd(request, limits.byteLength)
}

/** 0, or the error for a request that reaches beyond the end. The volume of one under way may shrink. */
export function errorPastTheEnd(request: RequestReader, byteLength: number): number {
  // the sum of offset and length is never formed: it might not be exact
  if (!request.offsetOutOfRange && request.offset <= byteLength - request.length) return 0
  const writes = request.command === Command.WRITE || request.command === Command.WRITE_ZEROES
  return writes ? NbdError.ENOSPC : NbdError.EINVAL
}
