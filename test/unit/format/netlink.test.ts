import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import {
  attribute,
  attributeText,
  attributeU32,
  attributeU64,
  decodeAttributes,
  decodeErrno,
  decodeGeneric,
  decodeMessages,
  encodeRequest,
  nested,
  numberIn,
  textIn,
  valueIn,
} from '../../../ts/format/netlink.ts'

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** What the kernel 6.1 has answered to GETFAMILY, but for the operations. */
const familyAnswer = `
  50000000 1000 0000 07000000 00000000 01 02 0000
  0800 0200 6e626400  0600 0100 2400 0000  0800 0300 01000000
  2400 0780
    2000 0100  0800 0200 09000000  1100 0100 6e62645f6d635f67726f757000 000000`

t.test('a request is byte for byte what the kernel takes', async (t) => {
  const attributes = [attributeText(2, 'nbd')]
  const request = encodeRequest({ type: 16, sequence: 7, command: 3, attributes })
  t.equal(hexOf(request), '1c00000010000500070000000000000003010000080002006e626400')
  t.equal(hexOf(attributeU32(1, 0x0102_0304)), '0800010004030201')
  t.equal(hexOf(attributeU64(2, 2 ** 40 + 1)), '0c0002000100000000010000')
  t.equal(hexOf(attribute(3, bytesOf('ff'))), '05000300ff000000', 'padded, and the padding is not counted')
  t.equal(hexOf(nested(7, [nested(1, [attributeU32(1, 5)])])), '100007000c0001000800010005000000')
})

t.test('an answer is read, nested attributes and flags in their kind included', async (t) => {
  const [message, ...others] = decodeMessages(bytesOf(familyAnswer))
  t.same(others, [])
  t.match(message, { type: 16, sequence: 7 })
  const { command, attributes } = decodeGeneric(message!)
  t.equal(command, 1)
  t.equal(textIn(valueIn(attributes, 2)), 'nbd')
  t.equal(numberIn(valueIn(attributes, 1)), 0x24)
  const [group] = decodeAttributes(valueIn(attributes, 7))
  const fields = decodeAttributes(group!.value)
  t.equal(textIn(valueIn(fields, 1)), 'nbd_mc_group')
  t.equal(numberIn(valueIn(fields, 2)), 9)
  t.equal(numberIn(bytesOf('07')), 7)
})

t.test('errors are errnos, and 0 is an acknowledgement', async (t) => {
  const errorOf = (hex: string) => decodeErrno(decodeMessages(bytesOf(hex))[0]!)
  t.equal(errorOf('14000000 0200 0000 01000000 00000000 00000000'), 0)
  t.equal(errorOf('14000000 0200 0000 01000000 00000000 feffffff'), 2)
})

t.test('two messages in one datagram are both read, and padding between them is not', async (t) => {
  const messages = decodeMessages(
    bytesOf('12000000 0300 0000 01000000 00000000 abcd 0000 10000000 0400 0000 02000000 00000000'),
  )
  t.match(messages, [
    { type: 3, sequence: 1 },
    { type: 4, sequence: 2 },
  ])
  t.equal(hexOf(messages[0]!.payload), 'abcd')
})

t.test('what no kernel would say is refused, whatever it is', async (t) => {
  const header = (byteLength: string) => `${byteLength} 1000 0000 01000000 00000000`
  const cases: [string, () => unknown][] = [
    ['half a header', () => decodeMessages(bytesOf('1000000010000000'))],
    ['a length below that of the header', () => decodeMessages(bytesOf(header('0f000000')))],
    ['a length of 0', () => decodeMessages(bytesOf(header('00000000')))],
    ['a length beyond the datagram', () => decodeMessages(bytesOf(header('11000000')))],
    ['a length of 4 GiB', () => decodeMessages(bytesOf(header('ffffffff')))],
    ['a message of no family', () => decodeGeneric({ type: 16, sequence: 1, payload: bytesOf('0102') })],
    ['an error of no number', () => decodeErrno({ type: 2, sequence: 1, payload: bytesOf('0000') })],
    ['a positive error', () => decodeErrno({ type: 2, sequence: 1, payload: bytesOf('05000000') })],
    ['half an attribute', () => decodeAttributes(bytesOf('0400'))],
    ['an attribute of length 0', () => decodeAttributes(bytesOf('00000100'))],
    ['an attribute of length 3', () => decodeAttributes(bytesOf('03000100'))],
    ['an attribute that is too long', () => decodeAttributes(bytesOf('0900010000000000'))],
    ['an attribute that is missing', () => valueIn(decodeAttributes(bytesOf('0800010000000000')), 2)],
    ['a number of 3 bytes', () => numberIn(bytesOf('010203'))],
    ['a number of no bytes', () => numberIn(bytesOf(''))],
  ]
  for (const [what, decode] of cases) {
    try {
      decode()
      t.fail(`${what} was taken`)
    } catch (error) {
      t.ok(isStoreError(error, 'ATTACH_FAILED'), `${what}: ${(error as Error).message}`)
    }
  }
})

t.test('an answer that is cut anywhere, or has any byte changed, is read or refused', async (t) => {
  const whole = bytesOf(familyAnswer)
  const read = (bytes: Uint8Array) => {
    try {
      for (const message of decodeMessages(bytes)) {
        for (const { value } of decodeGeneric(message).attributes) decodeAttributes(value)
      }
    } catch (error) {
      if (!isStoreError(error, 'ATTACH_FAILED')) t.fail(`${hexOf(bytes)}: ${error}`)
    }
  }
  for (let end = 0; end < whole.length; end += 1) read(whole.subarray(0, end))
  for (let at = 0; at < whole.length; at += 1) {
    for (const byte of [0, 1, 3, 0x7f, 0xff]) read(whole.with(at, byte))
  }
  t.pass('none of them has done anything else')
})
