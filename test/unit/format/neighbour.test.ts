import t from 'tap'
import {
  addressBytes,
  claimantOf,
  encodeAnnouncement,
  encodeProbe,
  macText,
} from '../../../ts/format/neighbour.ts'

const mac = Uint8Array.of(2, 0, 0, 0xaa, 0xbb, 0xcc)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('an address in numbers has the bytes that are on the wire', async (t) => {
  t.equal(hex(addressBytes('10.0.200.1')), '0a00c801')
  t.equal(hex(addressBytes('fd00::1:20')), 'fd000000000000000000000000010020')
  t.equal(hex(addressBytes('::1')), `${'0'.repeat(31)}1`)
  t.equal(hex(addressBytes('fd00::')), `fd00${'0'.repeat(28)}`)
  t.equal(hex(addressBytes('1:2:3:4:5:6:7:8')), '00010002000300040005000600070008')
})

t.test('an IPv4 address is announced to everybody by an ARP request for itself (RFC 5227)', async (t) => {
  const frame = encodeAnnouncement(mac, addressBytes('10.0.0.10'))
  const ethernet = 'ffffffffffff' + '020000aabbcc' + '0806'
  t.equal(hex(frame), `${ethernet}0001080006040001${'020000aabbcc'}0a00000a${'000000000000'}0a00000a`)
  t.equal(macText(claimantOf(frame)!), '02:00:00:aa:bb:cc')
})

t.test('who else has it is asked without claiming it', async (t) => {
  const frame = hex(encodeProbe(mac, addressBytes('10.0.0.10')))
  t.equal(frame.slice(44), `${'020000aabbcc'}00000000${'000000000000'}0a00000a`)
})

t.test('an IPv6 address is announced by an advertisement that nobody has asked for (RFC 4861)', async (t) => {
  const frame = encodeAnnouncement(mac, addressBytes('fd00::10'))
  const address = 'fd000000000000000000000000000010'
  const ethernet = '333300000001' + '020000aabbcc' + '86dd'
  const packet = `600000000020${'3aff'}${address}ff020000000000000000000000000001`
  t.equal(hex(frame).slice(0, 112), `${ethernet}${packet}8800`.slice(0, 112))
  t.equal(hex(frame).slice(116), `20000000${address}0201020000aabbcc`)
  // the sum over everything that it covers, with the sum itself, is all ones
  const view = new DataView(frame.buffer)
  let sum = 32 + 58
  for (let at = 22; at < frame.length; at += 2) sum += view.getUint16(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  t.equal(sum, 0xffff)
})

t.test('frames that are cut off, or no ARP, claim nothing', async (t) => {
  const frame = encodeAnnouncement(mac, addressBytes('10.0.0.10'))
  for (let length = 0; length < frame.length; length += 1)
    t.equal(claimantOf(frame.subarray(0, length)), undefined)
  t.equal(claimantOf(encodeAnnouncement(mac, addressBytes('fd00::10'))), undefined)
})
