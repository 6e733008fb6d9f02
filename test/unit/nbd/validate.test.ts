import t from 'tap'
import { Context, NO_CONTEXTS } from '../../../ts/nbd/meta-context.ts'
import { RequestReader } from '../../../ts/nbd/transmission.ts'
import { isTooMuchPayload, type SessionLimits, validate } from '../../../ts/nbd/validate.ts'
import {
  command,
  commandFlag,
  encodeExtendedRequest,
  encodeRequest,
  errno,
  type RequestFields,
} from '../../support/nbd-wire.ts'

const size = 64 * 1024 * 1024
const terms = { structured: true, extended: false, contexts: NO_CONTEXTS }
const writable = { byteLength: size, readOnly: false, ...terms }
const everyCommand = [0, 1, 3, 4, 5, 6]

function verdict(request: Omit<RequestFields, 'cookie'>, limits = writable): number {
  const bytes = new Uint8Array(encodeRequest({ ...request, cookie: 0n }))
  const reader = new RequestReader()
  if (!reader.read(new DataView(bytes.buffer), 0)) throw new Error('not a request')
  return validate(reader, limits)?.error ?? 0
}

t.test('requests inside the export are valid, up to its last byte', async (t) => {
  for (const command of everyCommand) {
    t.equal(verdict({ command, offset: 0, length: 1 }), 0)
    t.equal(verdict({ command, offset: size - 1, length: 1 }), 0)
    t.equal(verdict({ command, offset: 511, length: 4097 }), 0, 'no alignment is asked for')
    t.equal(verdict({ command, offset: size, length: 0 }), 0, 'nothing, at the end')
  }
  t.equal(verdict({ command: command.disconnect, flags: 0xffff }), 0)
})

t.test('past the end: ENOSPC for what writes, EINVAL for the rest, and FLUSH does not care', async (t) => {
  const expected = new Map([
    [command.read, errno.EINVAL],
    [command.write, errno.ENOSPC],
    [command.flush, 0],
    [command.trim, errno.EINVAL],
    [command.cache, errno.EINVAL],
    [command.writeZeroes, errno.ENOSPC],
  ])
  const places: [number | bigint, number][] = [
    [size, 1],
    [size - 1, 2],
    [size + 1, 0],
    [2n ** 53n - 1n, 4096],
    [2n ** 53n, 0],
    [2n ** 63n, 1],
    [2n ** 64n - 1n, 1],
    [2n ** 64n - 4096n, 8192],
  ]
  for (const [command, error] of expected) {
    for (const [offset, length] of places) {
      t.equal(verdict({ command, offset, length }), error, `command ${command} at ${offset}+${length}`)
    }
  }
})

t.test('payloads have a limit, ranges without payload have none', async (t) => {
  const large = { ...writable, byteLength: 2 ** 43 }
  const limit = 32 * 1024 * 1024
  t.equal(verdict({ command: command.read, length: limit }, large), 0)
  t.equal(verdict({ command: command.write, length: limit }, large), 0)
  t.equal(verdict({ command: command.read, length: limit + 1 }, large), errno.EINVAL)
  t.equal(verdict({ command: command.write, length: 2 ** 32 - 1 }, large), errno.EINVAL)
  for (const number of [command.trim, command.writeZeroes, command.cache]) {
    t.equal(verdict({ command: number, length: 2 ** 32 - 512 }, large), 0)
  }
})

t.test('a read-only export refuses every change with EPERM', async (t) => {
  const readOnly = { ...writable, readOnly: true }
  for (const number of [command.write, command.trim, command.writeZeroes]) {
    t.equal(verdict({ command: number, length: 512 }, readOnly), errno.EPERM)
    t.equal(verdict({ command: number, offset: size, length: 512 }, readOnly), errno.EPERM)
  }
  for (const number of [command.read, command.flush, command.cache]) {
    t.equal(verdict({ command: number, length: 512 }, readOnly), 0)
  }
})

t.test('every command takes exactly the flags that are defined for it', async (t) => {
  const allowed = new Map<number, number>([
    [command.read, commandFlag.fua | commandFlag.df],
    [command.write, commandFlag.fua],
    [command.flush, commandFlag.fua],
    [command.trim, commandFlag.fua],
    [command.cache, commandFlag.fua],
    [command.writeZeroes, commandFlag.fua | commandFlag.noHole | commandFlag.fastZero],
  ])
  for (const [command, flags] of allowed) {
    for (let bit = 0; bit < 16; bit += 1) {
      const flag = 1 << bit
      const error = flags & flag ? 0 : errno.EINVAL
      t.equal(verdict({ command, flags: flag, length: 512 }), error, `command ${command} flag ${flag}`)
    }
    t.equal(verdict({ command, flags, length: 512 }), 0)
  }
})

t.test('DF needs structured replies', async (t) => {
  const simple = { ...writable, structured: false }
  t.equal(verdict({ command: command.read, flags: commandFlag.df, length: 1 }, simple), errno.EINVAL)
})

t.test('commands that do not exist or were not negotiated are EINVAL', async (t) => {
  for (let number = 8; number <= 65535; number += 1) {
    if (verdict({ command: number }) !== errno.EINVAL) t.fail(`command ${number}`)
  }
  t.equal(verdict({ command: command.blockStatus, length: 512 }), errno.EINVAL)
})

t.test('an export without a single byte takes requests without a single byte', async (t) => {
  const empty = { ...writable, byteLength: 0 }
  t.equal(verdict({ command: command.read, offset: 0, length: 0 }, empty), 0)
  t.equal(verdict({ command: command.read, offset: 0, length: 1 }, empty), errno.EINVAL)
})

const asking: SessionLimits = { ...writable, contexts: Context.ALLOCATION }

t.test('a status is for those who have selected a context, and inside the export', async (t) => {
  const status = { command: command.blockStatus, length: 512 }
  t.equal(verdict(status), errno.EINVAL)
  t.equal(verdict(status, asking), 0)
  t.equal(verdict(status, { ...asking, readOnly: true }), 0)
  t.equal(verdict({ ...status, flags: commandFlag.reqOne | commandFlag.fua }, asking), 0)
  for (const flags of [2, 4, 16, 32, 64, 0x8000]) t.equal(verdict({ ...status, flags }, asking), errno.EINVAL)
  t.equal(verdict({ ...status, length: 0 }, asking), errno.EINVAL)
  t.equal(verdict({ ...status, offset: size }, asking), errno.EINVAL)
  t.equal(verdict({ ...status, offset: size - 512 }, asking), 0)
})

/** The verdict on a request with an extended header. */
function extendedVerdict(request: Omit<RequestFields, 'cookie'>, limits = asking, payload?: Buffer): number {
  const bytes = Buffer.concat([encodeExtendedRequest({ ...request, cookie: 0n }), payload ?? Buffer.alloc(0)])
  const reader = new RequestReader()
  const view = new DataView(new Uint8Array(bytes).buffer)
  if (!reader.readExtended(view, 0)) throw new Error('not a request')
  if (payload !== undefined) reader.readStatusPayload(view, 32)
  return validate(reader, { ...limits, extended: true })?.error ?? 0
}

t.test('with extended headers lengths have 64 bits, and only what carries a payload says so', async (t) => {
  const large = { ...asking, byteLength: 2 ** 43 }
  const whole = 2 ** 43
  for (const number of [command.trim, command.writeZeroes, command.cache, command.blockStatus]) {
    t.equal(extendedVerdict({ command: number, length: whole }, large), 0)
    for (const length of [whole + 1, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      const error = number === command.writeZeroes ? errno.ENOSPC : errno.EINVAL
      t.equal(extendedVerdict({ command: number, length }, large), error, `command ${number}, ${length}`)
    }
  }
  const flags = commandFlag.payloadLength
  t.equal(extendedVerdict({ command: command.write, flags, length: 512 }), 0)
  t.equal(extendedVerdict({ command: command.write, length: 512 }), errno.EINVAL)
  t.equal(extendedVerdict({ command: command.write, length: 0 }), 0, 'nothing carries nothing')
  for (const number of [command.read, command.flush, command.trim, command.cache, command.writeZeroes]) {
    t.equal(extendedVerdict({ command: number, flags, length: 512 }), errno.EINVAL)
  }
  t.equal(extendedVerdict({ command: command.read, length: 2n ** 32n }, large), errno.EINVAL)
})

t.test('a status may name contexts that were selected, each once', async (t) => {
  const payload = (length: number, ...named: number[]) => {
    const bytes = Buffer.alloc(8 + named.length * 4)
    bytes.writeBigUInt64BE(BigInt(length))
    for (const [index, context] of named.entries()) bytes.writeUInt32BE(context, 8 + index * 4)
    return bytes
  }
  const status = { command: command.blockStatus, flags: commandFlag.payloadLength, length: 12 }
  t.equal(extendedVerdict(status, asking, payload(size, 1)), 0)
  t.equal(extendedVerdict(status, asking, payload(size, 2)), errno.EINVAL, 'another context')
  t.equal(extendedVerdict(status, asking, payload(size + 1, 1)), errno.EINVAL, 'past the end')
  t.equal(extendedVerdict(status, asking, payload(0, 1)), errno.EINVAL, 'nothing')
  t.equal(extendedVerdict(status, writable, payload(size, 1)), errno.EINVAL, 'no context was selected')
  for (const length of [0, 8, 11, 13, 20]) t.equal(extendedVerdict({ ...status, length }), errno.EINVAL)
  const both = { ...asking, contexts: Context.ALLOCATION | Context.DEPTH }
  t.equal(extendedVerdict(status, both, payload(size, 2)), 0, 'the other one')
  const naming = { ...status, length: 16 }
  t.equal(extendedVerdict(naming, both, payload(size, 1, 2)), 0, 'both')
  t.equal(extendedVerdict(naming, both, payload(size, 2, 1)), 0, 'in any order')
  t.equal(extendedVerdict(naming, asking, payload(size, 1, 2)), errno.EINVAL, 'one that was not selected')
  for (const wrong of [0, 3, 4, 2 ** 32 - 1]) {
    t.equal(extendedVerdict(naming, both, payload(size, 1, wrong)), errno.EINVAL, `context ${wrong}`)
  }
  t.equal(extendedVerdict(naming, both, payload(size, 2, 2)), errno.EINVAL, 'one twice')
})

t.test('a payload that is too large ends the session', async (t) => {
  const tooMuch = (extended: boolean, length: number | bigint) => {
    const flags = extended ? commandFlag.payloadLength : 0
    const request = { command: command.write, flags, length, cookie: 0n }
    const view = new DataView(
      new Uint8Array(extended ? encodeExtendedRequest(request) : encodeRequest(request)).buffer,
    )
    const reader = new RequestReader()
    if (extended) reader.readExtended(view, 0)
    else reader.read(view, 0)
    return isTooMuchPayload(reader, { ...asking, extended })
  }
  const mib = 2 ** 20
  t.same([tooMuch(false, 64 * mib), tooMuch(false, 64 * mib + 1)], [false, true])
  t.same(
    [tooMuch(true, 32 * mib), tooMuch(true, 32 * mib + 1), tooMuch(true, 2n ** 63n)],
    [false, true, true],
  )
})
