import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import {
  connectAttributes,
  devicesIn,
  indexAttributes,
  indexIn,
  reconfigureAttributes,
  timeoutAttributes,
} from '../../../ts/format/nbd-netlink.ts'
import { decodeAttributes } from '../../../ts/format/netlink.ts'

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hexOf = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString('hex')

t.test('a device is asked for as linux/nbd-netlink.h wants it', async (t) => {
  const attributes = connectAttributes({
    byteLength: 2 ** 33,
    blockByteLength: 512,
    requestTimeoutS: 30,
    deadConnectionTimeoutS: 60,
    serverFlags: 0x0d6d,
    sockets: [22, 23],
    backend: 'vol0-x',
  })
  const expected = `
    0c000200 0000000002000000  0c000300 0002000000000000  0c000400 1e00000000000000
    0c000500 6d0d000000000000
    1c000700 0c000100 08000100 16000000 0c000100 08000100 17000000
    0c000800 3c00000000000000  0b000a00 766f6c302d7800 00`
  t.equal(hexOf(attributes), expected.replaceAll(/\s/g, ''))
})

t.test('a new connection goes to one device and backend, with the size as it is now', async (t) => {
  const attributes = reconfigureAttributes(3, { byteLength: 4096, socket: 9, backend: 'v' })
  const expected = `
    08000100 03000000  0c000200 0010000000000000  10000700 0c000100 08000100 09000000
    06000a00 7600 0000`
  t.equal(hexOf(attributes), expected.replaceAll(/\s/g, ''))
  t.equal(hexOf(indexAttributes(3)), '0800010003000000')
  const timeout = timeoutAttributes(3, { requestTimeoutS: 1, backend: 'v' })
  t.equal(hexOf(timeout), '08000100030000000c000400010000000000000006000a0076000000')
})

t.test('answers tell devices', async (t) => {
  t.equal(indexIn(decodeAttributes(bytesOf('0800010005000000'))), 5)
  const list = `
    2c000980 14000100 08000100 00000000 05000200 01000000
             14000100 08000100 01000000 05000200 00000000`
  t.same(devicesIn(decodeAttributes(bytesOf(list))), [
    { index: 0, isConnected: true },
    { index: 1, isConnected: false },
  ])
  try {
    indexIn([])
    t.fail('an answer without a device was taken')
  } catch (error) {
    t.ok(isStoreError(error, 'ATTACH_FAILED'))
  }
})
