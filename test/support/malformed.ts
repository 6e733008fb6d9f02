import {
  command,
  commandFlag,
  encodeClientFlags,
  encodeContextData,
  encodeExtendedRequest,
  encodeInfoData,
  encodeOption,
  encodeRequest,
  errno,
  option,
  optionReply,
} from './nbd-wire.ts'

/*
 * What nobody should send, and what the specification wants to follow from it.
 */
const MIB = 2 ** 20
const hello = encodeClientFlags()
const join = (...pieces: Uint8Array[]): Buffer => Buffer.concat(pieces)

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at]! ^= 0x20
  return changed
}

function u32At(bytes: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(bytes)
  changed.writeUInt32BE(value, at)
  return changed
}

/** By what it is: sent after the greeting, and all that follows is the end of the connection. */
export function endsHandshake(): Map<string, Buffer> {
  const cases = new Map<string, Buffer>([
    ['a request for a web page', Buffer.from('GET / HTTP/1.1\r\nHost: pollux\r\n\r\n')],
    ['the beginning of TLS', Buffer.from('16030100c8010000c40303', 'hex')],
    ['the banner of SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
    ['the greeting of a server', Buffer.from('NBDMAGICIHAVEOPT\0\x03')],
    ['a request instead of flags', encodeRequest({ command: command.read, cookie: 1n, length: 512 })],
    ['an option of a client without fixed newstyle', join(encodeClientFlags(0), encodeOption(option.list))],
    ['a magic of all ones', join(hello, Buffer.alloc(16, 0xff))],
    ['a request instead of an option', join(hello, encodeRequest({ command: command.read, cookie: 1n }))],
    ['an option of 32 MiB and a byte', join(hello, encodeOption(77, '', 32 * MIB + 1))],
    ['an option of 4 GiB', join(hello, encodeOption(option.go, '', 2 ** 32 - 1))],
    ['EXPORT_NAME of what is not there', join(hello, encodeOption(option.exportName, 'helena'))],
    ['EXPORT_NAME with a NUL behind the name', join(hello, encodeOption(option.exportName, 'vol0\0'))],
    ['EXPORT_NAME that is not UTF-8', join(hello, encodeOption(option.exportName, Buffer.from([0xff])))],
    ['EXPORT_NAME of 4,097 bytes', join(hello, encodeOption(option.exportName, 'a'.repeat(4097)))],
    ['EXPORT_NAME of 4 GiB', join(hello, encodeOption(option.exportName, '', 2 ** 32 - 1))],
    ['EXPORT_NAME that leads up a path', join(hello, encodeOption(option.exportName, '../vol0'))],
  ])
  for (let bit = 2; bit < 32; bit += 1) {
    cases.set(`client flag ${bit}`, encodeClientFlags(((1 << bit) | 3) >>> 0))
  }
  for (let at = 0; at < 8; at += 1) {
    cases.set(
      `a magic of options with byte ${at} changed`,
      join(hello, flipped(encodeOption(option.list), at)),
    )
  }
  const flood = Array.from({ length: 65 }, () => encodeOption(4711))
  cases.set('a flood of options', join(hello, ...flood))
  const late = [encodeOption(option.extendedHeaders), encodeOption(option.exportName, 'vol0')]
  cases.set('EXPORT_NAME after extended headers', join(hello, ...late))
  return cases
}

/** By what it is: an option, and the answer to it; the session lives on. */
export function refusedOptions(): Map<string, [Buffer, number]> {
  const { errInvalid, errTooBig, errUnknown, errUnsup } = optionReply
  const cases = new Map<string, [Buffer, number]>()
  for (const number of [0, 4, option.startTls, 12, 255, 4711, 65_535, 2 ** 31, 2 ** 32 - 1]) {
    cases.set(`option ${number}`, [encodeOption(number, Buffer.alloc(1000, 0x49)), errUnsup])
  }
  for (const number of [option.list, option.structuredReply, option.extendedHeaders]) {
    cases.set(`option ${number} with data`, [encodeOption(number, 'x'), errInvalid])
  }
  for (const number of [option.info, option.go]) {
    for (const [what, data] of malformedInfo()) {
      cases.set(`option ${number}, ${what}`, [encodeOption(number, data), errInvalid])
    }
    cases.set(`option ${number}, too long`, [encodeOption(number, Buffer.alloc(65_537)), errTooBig])
    const unknown = ['helena', 'vol0 ', '../vol0', '/etc/passwd', '$(reboot)', 'VOL0']
    for (const name of unknown) {
      cases.set(`option ${number}, ${name}`, [encodeOption(number, encodeInfoData(name)), errUnknown])
    }
  }
  for (const number of [option.listMetaContext, option.setMetaContext]) {
    for (const [what, data] of malformedContexts()) {
      cases.set(`option ${number}, ${what}`, [encodeOption(number, data), errInvalid])
    }
    cases.set(`option ${number}, too long`, [encodeOption(number, Buffer.alloc(65_537)), errTooBig])
  }
  const select = encodeContextData('vol0', ['base:allocation'])
  cases.set('contexts without structured replies', [encodeOption(option.setMetaContext, select), errInvalid])
  const elsewhere = encodeContextData('helena', ['base:'])
  cases.set('contexts of no export', [encodeOption(option.listMetaContext, elsewhere), errUnknown])
  return cases
}

function malformedInfo(): [string, Buffer][] {
  const good = encodeInfoData('vol0', [3])
  return [
    ['nothing', Buffer.alloc(0)],
    ['five bytes', Buffer.alloc(5)],
    ['a name of 4 GiB', u32At(good, 0, 2 ** 32 - 1)],
    ['a name a byte too long', u32At(good, 0, 5)],
    ['a name a byte too short', u32At(good, 0, 3)],
    ['more wishes than there are', Buffer.concat([good.subarray(0, 8), Buffer.from([0, 2, 0, 3])])],
    ['fewer wishes than there are', Buffer.concat([good, Buffer.from([0, 3])])],
    ['a NUL in the name', encodeInfoData('vol\0')],
    ['a name that is not UTF-8', encodeInfoData(Buffer.from([0xc0, 0x80]))],
    ['a name of 4,097 bytes', encodeInfoData('a'.repeat(4097))],
  ]
}

function malformedContexts(): [string, Buffer][] {
  const good = encodeContextData('vol0', ['base:allocation'])
  return [
    ['nothing', Buffer.alloc(0)],
    ['seven bytes', Buffer.alloc(7)],
    ['a name of 4 GiB', u32At(good, 0, 2 ** 32 - 1)],
    ['a name a byte too long', u32At(good, 0, 5)],
    ['four thousand million queries', u32At(good, 8, 2 ** 32 - 1)],
    ['a query too many', u32At(good, 8, 2)],
    ['a query too few', u32At(good, 8, 0)],
    ['a query of 4 GiB', u32At(good, 12, 2 ** 32 - 1)],
    ['a query a byte too long', u32At(good, 12, 16)],
    ['a query a byte too short', u32At(good, 12, 14)],
    ['a NUL in a query', encodeContextData('vol0', ['base:\0'])],
    ['a query that is not UTF-8', encodeContextData('vol0', [Buffer.from([0xff])])],
    ['a NUL in the name', encodeContextData('vol0\0', [])],
    ['a name of 4,097 bytes', encodeContextData('a'.repeat(4097), [])],
  ]
}

export type Mode = 'simple' | 'structured' | 'extended'
export const modes: readonly Mode[] = ['simple', 'structured', 'extended']

/** By what it is: what is sent in transmission, and all that follows is the end of the connection. */
export function endsTransmission(mode: Mode): Map<string, Buffer> {
  const isExtended = mode === 'extended'
  const encode = isExtended ? encodeExtendedRequest : encodeRequest
  const flags = isExtended ? commandFlag.payloadLength : 0
  const read = encode({ command: command.read, cookie: 1n, length: 512 })
  const write = { command: command.write, cookie: 1n, flags }
  const other = isExtended ? encodeRequest : encodeExtendedRequest
  const cases = new Map<string, Buffer>([
    ['random bytes', Buffer.alloc(64, 0x5a)],
    ['zeroes', Buffer.alloc(64)],
    ['an option', encodeOption(option.list, Buffer.alloc(64))],
    ['the magic of a reply', u32At(join(read, read), 0, 0x6744_6698)],
    ['a request with the other header', join(other({ command: command.read, cookie: 1n }), read)],
    ['a payload of 4 GiB', encode({ ...write, length: 2 ** 32 - 1 })],
    ['a payload just too large', encode({ ...write, length: (isExtended ? 32 : 64) * MIB + 1 })],
    [
      'DISC with flags, length and what follows',
      join(encode({ command: 2, cookie: 1n, flags: 0xffff }), read),
    ],
  ])
  if (isExtended) {
    cases.set('a payload of 2^64 - 1 bytes', encode({ ...write, length: 2n ** 64n - 1n }))
    cases.set('a payload of 2^63 bytes on a trim', encode({ ...write, command: 4, length: 2n ** 63n }))
  }
  for (let at = 0; at < 4; at += 1) cases.set(`a magic with byte ${at} changed`, flipped(read, at))
  return cases
}

export interface Refused {
  readonly command: number
  readonly flags: number
  readonly offset: number | bigint
  readonly length: number
  readonly payload?: Uint8Array
}

/** By what it is: a request, and the error that it is answered with; the session lives on. */
export function refusedRequests(mode: Mode, byteLength: number): Map<string, [Refused, number]> {
  const cases = new Map<string, [Refused, number]>()
  const add = (what: string, request: Partial<Refused>, error: number = errno.EINVAL) =>
    cases.set(what, [{ command: command.read, flags: 0, offset: 0, length: 512, ...request }, error])
  for (const number of [8, 9, 10, 255, 256, 0x7fff, 0xffff]) add(`command ${number}`, { command: number })
  for (let bit = 6; bit < 16; bit += 1) add(`flag ${bit} on READ`, { flags: 1 << bit })
  add('NO_HOLE on READ', { flags: commandFlag.noHole })
  add('REQ_ONE on TRIM', { command: command.trim, flags: commandFlag.reqOne })
  add('FAST_ZERO on FLUSH', { command: command.flush, flags: commandFlag.fastZero })
  add('DF on WRITE_ZEROES', { command: command.writeZeroes, flags: commandFlag.df })
  if (mode === 'simple') add('DF without structured replies', { flags: commandFlag.df })
  add('BLOCK_STATUS without a context', { command: command.blockStatus })
  add('a READ of more than 32 MiB', { length: 32 * MIB + 1 })
  add('a READ of 4 GiB', { length: 2 ** 32 - 1 })
  const ends: [string, Partial<Refused>][] = [
    ['at the end', { offset: byteLength }],
    ['over the end', { offset: byteLength - 511 }],
    ['at 2^53', { offset: 2n ** 53n }],
    ['at 2^63', { offset: 2n ** 63n }],
    ['at 2^64 - 1', { offset: 2n ** 64n - 1n }],
    ['around the end of 64 bits', { offset: 2n ** 64n - 256n }],
  ]
  for (const [where, place] of ends) {
    for (const name of ['read', 'trim', 'cache'] as const)
      add(`${name} ${where}`, { command: command[name], ...place })
    add(`WRITE_ZEROES ${where}`, { command: command.writeZeroes, ...place }, errno.ENOSPC)
    const payload = Buffer.alloc(512, 0xee)
    add(`WRITE ${where}`, { command: command.write, payload, ...place }, errno.ENOSPC)
  }
  if (mode === 'extended') addExtended(add)
  else {
    add('the payload flag on READ', { flags: commandFlag.payloadLength })
    const payload = Buffer.alloc(32 * MIB + 1)
    const large = { command: command.write, length: payload.length, payload }
    add('a WRITE of more than 32 MiB', large)
  }
  return cases
}

function addExtended(add: (what: string, request: Partial<Refused>, error?: number) => void): void {
  add('a WRITE without the payload flag', { command: command.write })
  for (const name of ['read', 'flush', 'trim', 'cache', 'writeZeroes', 'blockStatus'] as const) {
    add(`a payload on ${name}`, { command: command[name], payload: Buffer.alloc(512, 0x21) })
  }
  add('a payload on an unknown command', { command: 99, payload: Buffer.alloc(512, 0x21) })
  add('a TRIM of 2^53 bytes', { command: command.trim, length: 2 ** 53 })
  add('a TRIM of 2^63 bytes', { command: command.trim, length: 2 ** 63 })
  add('a READ of 2^63 bytes', { length: 2 ** 63 })
  add('WRITE_ZEROES of 2^63 bytes', { command: command.writeZeroes, length: 2 ** 63 }, errno.ENOSPC)
}
