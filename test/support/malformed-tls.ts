import {
  encodeClientFlags,
  encodeContextData,
  encodeInfoData,
  encodeOption,
  encodeRequest,
  option,
  optionReply,
} from './nbd-wire.ts'

/*
 * What nobody should send around TLS, and what the specification wants to follow from it.
 */
const hello = encodeClientFlags()
const startTls = encodeOption(option.startTls)
const go = encodeOption(option.go, encodeInfoData('data'))
const join = (...pieces: Uint8Array[]): Buffer => Buffer.concat(pieces)

/** A record of TLS: its kind, and how many bytes it announces. */
function record(kind: number, data: Uint8Array, byteLength = data.length, version = 0x0303): Buffer {
  const header = Buffer.from([kind, version >> 8, version & 0xff, byteLength >> 8, byteLength & 0xff])
  return join(header, data)
}

/** A message of TLS's handshake that announces more than it has. */
const message = (kind: number, byteLength: number): Buffer =>
  Buffer.from([kind, byteLength >> 16, (byteLength >> 8) & 0xff, byteLength & 0xff])

/** By what it is: sent to a server that requires TLS, and followed by the end of the connection alone. */
export function endsWithoutTls(): Map<string, Buffer> {
  return new Map([
    ['EXPORT_NAME', join(hello, encodeOption(option.exportName, 'data'))],
    ['EXPORT_NAME of what is not there', join(hello, encodeOption(option.exportName, 'helena'))],
    ['EXPORT_NAME of the default', join(hello, encodeOption(option.exportName))],
    ['a request', join(hello, encodeRequest({ command: 0, cookie: 1n, length: 512 }))],
    ['TLS without STARTTLS', record(22, Buffer.alloc(200, 1))],
    ['TLS without STARTTLS, after the flags', join(hello, record(22, Buffer.alloc(200, 1)))],
    ['GO together with STARTTLS', join(hello, startTls, go)],
    ['LIST together with STARTTLS', join(hello, startTls, encodeOption(option.list))],
    ['ABORT together with STARTTLS', join(hello, startTls, encodeOption(option.abort))],
    ['a second STARTTLS together with the first', join(hello, startTls, startTls)],
    ['TLS together with STARTTLS', join(hello, startTls, record(22, Buffer.alloc(200, 1)))],
    ['a byte together with STARTTLS', join(hello, startTls, Buffer.alloc(1))],
  ])
}

/** By what it is: an option to a server that requires TLS, and the answer to it; TLS may still begin. */
export function refusedWithoutTls(): Map<string, [Buffer, number]> {
  const { errInvalid, errTlsReqd } = optionReply
  const cases = new Map<string, [Buffer, number]>()
  for (const number of [0, 3, 4, 6, 7, 8, 9, 10, 11, 12, 255, 4711, 2 ** 31, 2 ** 32 - 1]) {
    cases.set(`option ${number}`, [encodeOption(number), errTlsReqd])
    cases.set(`option ${number} with data`, [encodeOption(number, Buffer.alloc(1000, 0x49)), errTlsReqd])
  }
  cases.set('GO', [go, errTlsReqd])
  cases.set('INFO', [encodeOption(option.info, encodeInfoData('data')), errTlsReqd])
  const contexts = encodeContextData('data', ['base:allocation'])
  cases.set('SET_META_CONTEXT', [encodeOption(option.setMetaContext, contexts), errTlsReqd])
  cases.set('STARTTLS with a byte', [encodeOption(option.startTls, 'x'), errInvalid])
  cases.set('STARTTLS with much', [encodeOption(option.startTls, Buffer.alloc(100_000)), errInvalid])
  return cases
}

/** By what it is: sent when STARTTLS is acknowledged; TLS fails, and that is the end of the connection. */
export function failsInTls(): Map<string, Buffer> {
  return new Map([
    ['an option', encodeOption(option.list)],
    ['the export', go],
    ['a request for a web page', Buffer.from('GET / HTTP/1.1\r\nHost: pollux\r\n\r\n')],
    ['zeroes', Buffer.alloc(1000)],
    ['ones', Buffer.alloc(1000, 0xff)],
    ['a record of 64 KiB', record(22, Buffer.alloc(1000), 0xffff)],
    ['an empty hello', record(22, message(1, 0))],
    ['a hello of nonsense', record(22, join(message(1, 100), Buffer.alloc(100, 0x5a)))],
    ['a hello of 16 MiB', record(22, join(message(1, 0xff_ffff), Buffer.alloc(8000)))],
    ["a server's hello", record(22, join(message(2, 70), Buffer.alloc(70, 3)))],
    ['a certificate first', record(22, join(message(11, 1000), Buffer.alloc(1000)))],
    ['data first', record(23, encodeOption(option.list))],
    ['an alert', record(21, Buffer.from([2, 40]))],
    ['the end of TLS', record(21, Buffer.from([1, 0]))],
    ['a record of no kind', record(99, Buffer.alloc(100))],
    ['the hello of SSL 2', Buffer.from('801a0100020015000000100100800200800300800400800500800600', 'hex')],
  ])
}

/** By what it is: sent inside of TLS, and the answer to it; the session lives on. */
export function refusedInTls(): Map<string, [Buffer, number]> {
  const { errInvalid } = optionReply
  return new Map([
    ['a second STARTTLS', [startTls, errInvalid]],
    ['a second STARTTLS with data', [encodeOption(option.startTls, Buffer.alloc(1000)), errInvalid]],
  ])
}

/** By what it is: sent inside of TLS, and followed by the end of the connection alone. */
export function endsInTls(): Map<string, Buffer> {
  return new Map([
    ['TLS in TLS', record(22, join(message(1, 100), Buffer.alloc(100, 1)))],
    ['zeroes', Buffer.alloc(100)],
    ["the client's flags once more", join(hello, encodeOption(option.list))],
    ['a request', encodeRequest({ command: 0, cookie: 1n, length: 512 })],
    ['EXPORT_NAME of what is not there', encodeOption(option.exportName, 'helena')],
  ])
}
