import { NO_CONTEXTS } from './meta-context.ts'

/** What client and server have agreed on in the handshake: it holds for the whole session. */
export interface SessionTerms {
  /** replies may come in chunks, and those of READ and all errors do */
  readonly structuredReplies: boolean
  /** headers of 32 bytes and lengths of 64 bits; all replies come in chunks */
  readonly extendedHeaders: boolean
  /** the set of those that the client has selected, for BLOCK_STATUS to tell */
  readonly contexts: number
}

/** A session in which nothing was asked for. */
export const PLAIN_TERMS: SessionTerms = {
  structuredReplies: false,
  extendedHeaders: false,
  contexts: NO_CONTEXTS,
}
