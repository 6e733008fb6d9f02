/**
 * Every number of the NBD protocol that we speak. All fields on the wire are big-endian; u64 fields
 * are handled as two u32. Names are those of the specification, in our spelling.
 */
export interface Magic {
  readonly high: number
  readonly low: number
}

/** 'NBDMAGIC': the first eight bytes of a session. */
export const GREETING_MAGIC: Magic = { high: 0x4e42_444d, low: 0x4147_4943 }
/** 'IHAVEOPT': follows the greeting, and starts every option of the client. */
export const OPTION_MAGIC: Magic = { high: 0x4948_4156, low: 0x454f_5054 }
export const OPTION_REPLY_MAGIC: Magic = { high: 0x0003_e889, low: 0x0455_65a9 }
export const REQUEST_MAGIC = 0x2560_9513
export const SIMPLE_REPLY_MAGIC = 0x6744_6698
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef
export const EXTENDED_REQUEST_MAGIC = 0x21e4_1c71
export const EXTENDED_REPLY_MAGIC = 0x6e8a_278c

/** Flags of the server's greeting and of the client's answer; both sides use the same bits. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const

/** Answers to options; errors have the highest bit set. */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_PLATFORM: 0x8000_0004,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_BLOCK_SIZE_REQD: 0x8000_0008,
  ERR_TOO_BIG: 0x8000_0009,
  ERR_EXT_HEADER_REQD: 0x8000_000a,
} as const

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const

export const TransmissionFlag = {
  HAS_FLAGS: 0x0001,
  READ_ONLY: 0x0002,
  SEND_FLUSH: 0x0004,
  SEND_FUA: 0x0008,
  ROTATIONAL: 0x0010,
  SEND_TRIM: 0x0020,
  SEND_WRITE_ZEROES: 0x0040,
  SEND_DF: 0x0080,
  CAN_MULTI_CONN: 0x0100,
  SEND_RESIZE: 0x0200,
  SEND_CACHE: 0x0400,
  SEND_FAST_ZERO: 0x0800,
  BLOCK_STATUS_PAYLOAD: 0x1000,
} as const

export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const

export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16, PAYLOAD_LEN: 32 } as const

export const ChunkType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const
export const CHUNK_FLAG_DONE = 1

/** What `base:allocation` says of an extent. */
export const ExtentFlag = { HOLE: 1, ZERO: 2 } as const

/** The only error numbers that may be put on the wire. */
export const NbdError = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const

export const GREETING_BYTE_LENGTH = 18
export const CLIENT_FLAGS_BYTE_LENGTH = 4
export const OPTION_HEADER_BYTE_LENGTH = 16
export const OPTION_REPLY_HEADER_BYTE_LENGTH = 20
/** Answer to EXPORT_NAME: size and flags, then zeroes unless both sides agreed to leave them out. */
export const EXPORT_NAME_REPLY_BYTE_LENGTH = 10
export const EXPORT_NAME_ZEROES_BYTE_LENGTH = 124
export const REQUEST_BYTE_LENGTH = 28
export const SIMPLE_REPLY_BYTE_LENGTH = 16
export const CHUNK_HEADER_BYTE_LENGTH = 20

export const EXTENDED_REQUEST_BYTE_LENGTH = 32
export const EXTENDED_CHUNK_HEADER_BYTE_LENGTH = 32
/** One extent of a BLOCK_STATUS reply: length and flags, as u32 or, with extended headers, as u64. */
export const EXTENT_BYTE_LENGTH = 8
export const EXTENDED_EXTENT_BYTE_LENGTH = 16
/** Payload of a BLOCK_STATUS that names contexts: u64 effect length, then u32 each. */
export const STATUS_PAYLOAD_BYTE_LENGTH = 8
export const CONTEXT_BYTE_LENGTH = 4

/** Where the fields of a request header are; in an extended one the length has 64 bits. */
export const RequestAt = { magic: 0, flags: 4, command: 6, cookie: 8, offset: 16, length: 24 } as const

/** Longest name, description or message. */
export const TEXT_BYTE_LENGTH_MAX = 4096
