/**
 * The client's side of NBD, written from the specification and sharing nothing with the server's
 * code, so that one mistake cannot hide another. No I/O in here: the simulator uses it, too.
 */
export const NBD_MAGIC = 0x4e42444d41474943n
export const IHAVEOPT = 0x49484156454f5054n
export const OPTION_REPLY = 0x3e889045565a9n
export const REQUEST = 0x25609513
export const SIMPLE_REPLY = 0x67446698
export const STRUCTURED_REPLY = 0x668e33ef
export const EXTENDED_REQUEST = 0x21e41c71
export const EXTENDED_REPLY = 0x6e8a278c

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const

export const optionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errUnsup: 2 ** 31 + 1,
  errPolicy: 2 ** 31 + 2,
  errInvalid: 2 ** 31 + 3,
  errTlsReqd: 2 ** 31 + 5,
  errUnknown: 2 ** 31 + 6,
  errShutdown: 2 ** 31 + 7,
  errTooBig: 2 ** 31 + 9,
  errExtHeaderReqd: 2 ** 31 + 10,
} as const

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const

export const commandFlag = { fua: 1, noHole: 2, df: 4, reqOne: 8, fastZero: 16, payloadLength: 32 } as const
export const errno = {
  EPERM: 1,
  EIO: 5,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const

/** The client's flags after the greeting: FIXED_NEWSTYLE 1, NO_ZEROES 2. */
export function encodeClientFlags(flags = 3): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(flags)
  return bytes
}

/** An option. `byteLength` lies about the length of the data, for tests. */
export function encodeOption(number: number, data: Uint8Array | string = '', byteLength?: number): Buffer {
  const payload = Buffer.from(data as string)
  const header = Buffer.alloc(16)
  header.writeBigUInt64BE(IHAVEOPT)
  header.writeUInt32BE(number, 8)
  header.writeUInt32BE(byteLength ?? payload.length, 12)
  return Buffer.concat([header, payload])
}

/** The data of INFO and GO. */
export function encodeInfoData(name: string | Uint8Array, wanted: readonly number[] = []): Buffer {
  const nameBytes = Buffer.from(name as string)
  const data = Buffer.alloc(4 + nameBytes.length + 2 + wanted.length * 2)
  data.writeUInt32BE(nameBytes.length)
  nameBytes.copy(data, 4)
  data.writeUInt16BE(wanted.length, 4 + nameBytes.length)
  for (const [index, kind] of wanted.entries()) data.writeUInt16BE(kind, 6 + nameBytes.length + index * 2)
  return data
}

/** The data of the options about contexts. */
export function encodeContextData(
  name: string | Uint8Array,
  queries: readonly (string | Uint8Array)[],
): Buffer {
  return Buffer.concat([withLength(name), u32(queries.length), ...queries.map(withLength)])
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function withLength(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(text as string)
  return Buffer.concat([u32(bytes.length), bytes])
}

export interface RequestFields {
  readonly command: number
  readonly cookie: bigint
  readonly flags?: number
  readonly offset?: number | bigint
  readonly length?: number | bigint
}

/** The 28 bytes of a request; the payload of a write follows them. */
export function encodeRequest(request: RequestFields): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt32BE(REQUEST)
  bytes.writeUInt16BE(request.flags ?? 0, 4)
  bytes.writeUInt16BE(request.command, 6)
  bytes.writeBigUInt64BE(request.cookie, 8)
  bytes.writeBigUInt64BE(BigInt(request.offset ?? 0), 16)
  bytes.writeUInt32BE(Number(request.length ?? 0), 24)
  return bytes
}

/** The 32 bytes of a request with an extended header. */
export function encodeExtendedRequest(request: RequestFields): Buffer {
  const bytes = Buffer.concat([encodeRequest({ ...request, length: 0 }), Buffer.alloc(4)])
  bytes.writeUInt32BE(EXTENDED_REQUEST)
  bytes.writeBigUInt64BE(BigInt(request.length ?? 0), 24)
  return bytes
}

export interface OptionAnswer {
  readonly option: number
  readonly kind: number
  readonly data: Buffer
}

/** Header of an answer to an option: which option, what kind, how many bytes of data follow. */
export function decodeOptionReplyHeader(header: Buffer): {
  option: number
  kind: number
  byteLength: number
} {
  if (header.readBigUInt64BE() !== OPTION_REPLY) throw new Error('an option reply has the wrong magic')
  return {
    option: header.readUInt32BE(8),
    kind: header.readUInt32BE(12),
    byteLength: header.readUInt32BE(16),
  }
}

/** All answers in a complete sequence of bytes. */
export function decodeOptionReplies(bytes: Uint8Array): OptionAnswer[] {
  const all = Buffer.from(bytes)
  const answers: OptionAnswer[] = []
  for (let at = 0; at < all.length; ) {
    const header = decodeOptionReplyHeader(all.subarray(at, at + 20))
    const end = at + 20 + header.byteLength
    if (end > all.length) throw new Error('an option reply is cut short')
    answers.push({ option: header.option, kind: header.kind, data: all.subarray(at + 20, end) })
    at = end
  }
  return answers
}

export interface ExportDetails {
  byteLength: number
  flags: number
  name?: string
  description?: string
  blockSizes?: { minimum: number; preferred: number; maximum: number }
}

/** What the INFO answers say together. */
export function decodeInfoReplies(answers: readonly OptionAnswer[]): ExportDetails {
  const details: ExportDetails = { byteLength: -1, flags: 0 }
  for (const { data } of answers) {
    const kind = data.readUInt16BE()
    if (kind === 0) {
      details.byteLength = Number(data.readBigUInt64BE(2))
      details.flags = data.readUInt16BE(10)
    }
    if (kind === 1) details.name = data.toString('utf8', 2)
    if (kind === 2) details.description = data.toString('utf8', 2)
    if (kind === 3) {
      const [minimum, preferred, maximum] = [
        data.readUInt32BE(2),
        data.readUInt32BE(6),
        data.readUInt32BE(10),
      ]
      details.blockSizes = { minimum, preferred, maximum }
    }
  }
  if (details.byteLength < 0) throw new Error('the server did not say how large the export is')
  return details
}
