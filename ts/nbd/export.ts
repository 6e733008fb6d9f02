import { KIB, MIB } from '../base/units.ts'
import { TransmissionFlag } from '../format/nbd.ts'
import { NO_CONTEXTS } from './meta-context.ts'
import type { SessionTerms } from './session-terms.ts'

/** Any byte range is legal, 4 KiB is cheapest, and every client works with payloads up to 32 MiB. */
export const BLOCK_BYTE_LENGTH_MIN = 1
export const BLOCK_BYTE_LENGTH_PREFERRED = 4 * KIB
export const PAYLOAD_BYTE_LENGTH_MAX = 32 * MIB

/** What a client may know of a volume, and what we need to route it to the engine that owns it. */
export interface ExportInfo {
  readonly name: string
  readonly description: string
  readonly byteLength: number
  readonly readOnly: boolean
  /** number of the volume in its aggregate */
  readonly volume: number
  readonly aggregate: string
}

/** The exports that this node serves now. One that the partner owns is not in it. */
export interface ExportCatalog {
  list(): readonly ExportInfo[]
  find(name: string): ExportInfo | undefined
}

/** The export that a client asks for. The empty name stands for the only one, if there is only one. */
export function findExport(catalog: ExportCatalog, name: string): ExportInfo | undefined {
  if (name !== '') return catalog.find(name)
  const all = catalog.list()
  return all.length === 1 ? all[0] : undefined
}

const OFFERED =
  TransmissionFlag.HAS_FLAGS |
  TransmissionFlag.SEND_FLUSH |
  TransmissionFlag.SEND_FUA |
  TransmissionFlag.SEND_CACHE |
  // one owner serves all connections of a volume, so a flush on one covers the writes of all
  TransmissionFlag.CAN_MULTI_CONN

const OFFERED_WRITABLE =
  TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO

/** The transmission flags of an export; some have a meaning only with what was agreed on before. */
export function transmissionFlags(exportInfo: ExportInfo, terms: SessionTerms): number {
  const { structuredReplies, extendedHeaders, contexts } = terms
  const writable = exportInfo.readOnly ? TransmissionFlag.READ_ONLY : OFFERED_WRITABLE
  const inChunks = structuredReplies || extendedHeaders ? TransmissionFlag.SEND_DF : 0
  const payload = extendedHeaders && contexts !== NO_CONTEXTS ? TransmissionFlag.BLOCK_STATUS_PAYLOAD : 0
  return OFFERED | writable | inChunks | payload
}
