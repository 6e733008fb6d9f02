import t from 'tap'
import * as format from '../../ts/format/nbd.ts'
import { Handshake } from '../../ts/nbd/handshake.ts'
import { RequestReader } from '../../ts/nbd/transmission.ts'
import { catalogOf, exportOf } from '../support/nbd-catalog.ts'

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** A whole session of a client like QEMU, as a network capture shows it. */
const spoken = {
  greeting: '4e42444d41474943 49484156454f5054 0003',
  clientFlags: '00000003',
  startTls: '49484156454f5054 00000005 00000000',
  structuredReply: '49484156454f5054 00000008 00000000',
  go: '49484156454f5054 00000007 0000000b 00000003 766d31 0001 0003',
  firstRequest: '25609513 0004 0000 0000000000000001 0000000000001000 00000200',
}

t.test('a session of a modern client is byte for byte what it always was', async (t) => {
  const handshake = new Handshake(catalogOf(exportOf('vm1', { byteLength: 0x1_2345_6000 })))
  t.equal(hexOf(handshake.greeting()), spoken.greeting.replaceAll(' ', ''))
  t.equal(hexOf(handshake.feed(bytesOf(spoken.clientFlags)).send), '')
  const refusal = Buffer.from('option 5 is not supported').toString('hex')
  const refused = hexOf(handshake.feed(bytesOf(spoken.startTls)).send)
  t.equal(refused, `0003e889045565a9000000058000000100000019${refusal}`)
  const agreed = hexOf(handshake.feed(bytesOf(spoken.structuredReply)).send)
  t.equal(agreed, '0003e889045565a9000000080000000100000000')
  const step = handshake.feed(bytesOf(spoken.go + spoken.firstRequest))
  const expected = [
    '0003e889045565a9 00000007 00000003 0000000c 0000 0000000123456000 0ded',
    '0003e889045565a9 00000007 00000003 0000000e 0003 00000001 00001000 02000000',
    '0003e889045565a9 00000007 00000001 00000000',
  ]
  t.equal(hexOf(step.send), expected.join('').replaceAll(' ', ''))
  if (step.kind !== 'transmission') throw new Error(`ended as ${step.kind}`)
  t.equal(hexOf(step.leftover), spoken.firstRequest.replaceAll(' ', ''))
  const reader = new RequestReader()
  t.equal(reader.read(new DataView(step.leftover.slice().buffer), 0), true)
  t.match(reader, { command: format.Command.READ, flags: format.CommandFlag.DF, offset: 4096, length: 512 })
})

t.test('a session with contexts and extended headers is byte for byte what it always was', async (t) => {
  const handshake = new Handshake(catalogOf(exportOf('vm1', { byteLength: 0x1_2345_6000 })))
  handshake.feed(bytesOf(spoken.clientFlags))
  const extended = handshake.feed(bytesOf('49484156454f5054 0000000b 00000000'))
  t.equal(hexOf(extended.send), '0003e889045565a90000000b0000000100000000')
  const query = '0000000f 626173653a616c6c6f636174696f6e'
  const selected = handshake.feed(
    bytesOf(`49484156454f5054 0000000a 0000001e 00000003 766d31 00000001 ${query}`),
  )
  const context = '0003e889045565a90000000a000000040000001300000001626173653a616c6c6f636174696f6e'
  t.equal(hexOf(selected.send), `${context}0003e889045565a90000000a0000000100000000`)
  const step = handshake.feed(bytesOf('49484156454f5054 00000007 00000009 00000003 766d31 0000'))
  const info = '0003e889045565a9000000070000000300 00000c 0000 0000000123456000 1ded'.replaceAll(' ', '')
  t.equal(hexOf(step.send), `${info}0003e889045565a9000000070000000100000000`)
  const status = '21e41c71 0020 0007 0000000000000001 0000000000001000 000000000000000c'
  const reader = new RequestReader()
  const view = new DataView(bytesOf(`${status} 0000000100000000 00000001`).buffer)
  t.equal(reader.readExtended(view, 0), true)
  t.match(reader, { command: format.Command.BLOCK_STATUS, offset: 4096, payloadLength: 12 })
  reader.readStatusPayload(view, format.EXTENDED_REQUEST_BYTE_LENGTH)
  t.match(reader, { length: 2 ** 32, payloadLength: 0, hasWrongPayload: false })
})

t.test('the old way in is byte for byte what it always was', async (t) => {
  const handshake = new Handshake(catalogOf(exportOf('vm1', { byteLength: 0x1_2345_6000, readOnly: true })))
  const step = handshake.feed(bytesOf('00000001 49484156454f5054 00000001 00000003 766d31'))
  t.equal(step.kind, 'transmission')
  t.equal(hexOf(step.send), `0000000123456000050f${'00'.repeat(124)}`)
})

t.test('the numbers of the protocol have not changed', async (t) => {
  const numbers = Object.fromEntries(
    Object.entries(format).filter(([, value]) => typeof value !== 'function'),
  )
  t.matchOnly(numbers, {
    GREETING_MAGIC: { high: 0x4e42444d, low: 0x41474943 },
    OPTION_MAGIC: { high: 0x49484156, low: 0x454f5054 },
    OPTION_REPLY_MAGIC: { high: 0x3e889, low: 0x45565a9 },
    REQUEST_MAGIC: 0x25609513,
    SIMPLE_REPLY_MAGIC: 0x67446698,
    STRUCTURED_REPLY_MAGIC: 0x668e33ef,
    EXTENDED_REQUEST_MAGIC: 0x21e41c71,
    EXTENDED_REPLY_MAGIC: 0x6e8a278c,
    HandshakeFlag: { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 },
    Option: {
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
    },
    OptionReply: {
      ACK: 1,
      SERVER: 2,
      INFO: 3,
      META_CONTEXT: 4,
      ERR_UNSUP: 2147483649,
      ERR_POLICY: 2147483650,
      ERR_INVALID: 2147483651,
      ERR_PLATFORM: 2147483652,
      ERR_TLS_REQD: 2147483653,
      ERR_UNKNOWN: 2147483654,
      ERR_SHUTDOWN: 2147483655,
      ERR_BLOCK_SIZE_REQD: 2147483656,
      ERR_TOO_BIG: 2147483657,
      ERR_EXT_HEADER_REQD: 2147483658,
    },
    Info: { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 },
    TransmissionFlag: {
      HAS_FLAGS: 1,
      READ_ONLY: 2,
      SEND_FLUSH: 4,
      SEND_FUA: 8,
      ROTATIONAL: 16,
      SEND_TRIM: 32,
      SEND_WRITE_ZEROES: 64,
      SEND_DF: 128,
      CAN_MULTI_CONN: 256,
      SEND_RESIZE: 512,
      SEND_CACHE: 1024,
      SEND_FAST_ZERO: 2048,
      BLOCK_STATUS_PAYLOAD: 4096,
    },
    Command: {
      READ: 0,
      WRITE: 1,
      DISC: 2,
      FLUSH: 3,
      TRIM: 4,
      CACHE: 5,
      WRITE_ZEROES: 6,
      BLOCK_STATUS: 7,
      RESIZE: 8,
    },
    CommandFlag: { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16, PAYLOAD_LEN: 32 },
    ChunkType: {
      NONE: 0,
      OFFSET_DATA: 1,
      OFFSET_HOLE: 2,
      BLOCK_STATUS: 5,
      BLOCK_STATUS_EXT: 6,
      ERROR: 32769,
      ERROR_OFFSET: 32770,
    },
    ExtentFlag: { HOLE: 1, ZERO: 2 },
    CHUNK_FLAG_DONE: 1,
    EXTENDED_REQUEST_BYTE_LENGTH: 32,
    EXTENDED_CHUNK_HEADER_BYTE_LENGTH: 32,
    EXTENT_BYTE_LENGTH: 8,
    EXTENDED_EXTENT_BYTE_LENGTH: 16,
    STATUS_PAYLOAD_BYTE_LENGTH: 8,
    CONTEXT_BYTE_LENGTH: 4,
    NbdError: {
      EPERM: 1,
      EIO: 5,
      ENOMEM: 12,
      EINVAL: 22,
      ENOSPC: 28,
      EOVERFLOW: 75,
      ENOTSUP: 95,
      ESHUTDOWN: 108,
    },
    GREETING_BYTE_LENGTH: 18,
    CLIENT_FLAGS_BYTE_LENGTH: 4,
    OPTION_HEADER_BYTE_LENGTH: 16,
    OPTION_REPLY_HEADER_BYTE_LENGTH: 20,
    EXPORT_NAME_REPLY_BYTE_LENGTH: 10,
    EXPORT_NAME_ZEROES_BYTE_LENGTH: 124,
    REQUEST_BYTE_LENGTH: 28,
    SIMPLE_REPLY_BYTE_LENGTH: 16,
    CHUNK_HEADER_BYTE_LENGTH: 20,
    RequestAt: { magic: 0, flags: 4, command: 6, cookie: 8, offset: 16, length: 24 },
    TEXT_BYTE_LENGTH_MAX: 4096,
  })
})
