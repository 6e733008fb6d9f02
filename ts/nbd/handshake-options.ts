import { KIB, MIB } from '../base/units.ts'

export interface HandshakeLimits {
  /** options in one session; one more ends it */
  readonly optionCount: number
  /** longest data of an option that is looked at; longer is answered ERR_TOO_BIG */
  readonly optionByteLength: number
  /** longest data that is skipped to get to the next option; longer ends the session */
  readonly skippedByteLength: number
}

export const defaultHandshakeLimits: HandshakeLimits = {
  optionCount: 64,
  optionByteLength: 64 * KIB,
  skippedByteLength: 32 * MIB,
}

/**
 * Where a session stands with TLS: `none` is a server that has none, `begun` a session inside of it. A
 * session only ever goes on to `begun`, by STARTTLS.
 */
export type TlsStage = 'none' | 'offered' | 'required' | 'begun'

export interface HandshakeOptions {
  readonly tls?: TlsStage
  readonly limits?: HandshakeLimits
}
