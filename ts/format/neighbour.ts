/**
 * Frames that say which host of an Ethernet has an address: ARP (RFC 826, announcements and probes as in RFC
 * 5227) and IPv6 neighbour advertisements (RFC 4861). All fields are big-endian.
 */
export const MAC_BYTES = 6
export const FRAME_BYTES_MAX = 128

const ETHERTYPE_ARP = 0x0806
const ETHERTYPE_IPV6 = 0x86dd
const ETHERNET_BYTES = 14
const ARP_BYTES = 28
const ARP_REQUEST = 1
const IPV6_BYTES = 40
const ADVERTISEMENT_BYTES = 32
const ICMPV6 = 58
const NEIGHBOUR_ADVERTISEMENT = 136
/** what hosts know of the address so far is to be replaced */
const OVERRIDE = 0x20
const TARGET_MAC = 2
/** no router has passed it on */
const HOP_LIMIT = 255

const everybody = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
const allNodesMac = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1)
const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** The 4 or 16 bytes of an address in numbers; an IPv6 one without dots. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.'), Number)
  const [head = [], tail] = text
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))))
  const zeroes = tail === undefined ? 0 : 8 - head.length - tail.length
  const words = [...head, ...new Array<number>(zeroes).fill(0), ...(tail ?? [])]
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]))
}

export const macText = (mac: Uint8Array): string =>
  [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

/** What tells everybody at once that an address is here now. */
export function encodeAnnouncement(mac: Uint8Array, address: Uint8Array): Uint8Array {
  return address.length === 4 ? encodeArp(mac, address, address) : encodeAdvertisement(mac, address)
}

/** Asks who else has an IPv4 address, without claiming it: a host that answers has it, too. */
export function encodeProbe(mac: Uint8Array, address: Uint8Array): Uint8Array {
  return encodeArp(mac, new Uint8Array(4), address)
}

/** Who claims the address of an ARP frame that came in. Undefined: it is none, or cut off. */
export function claimantOf(frame: Uint8Array): Uint8Array | undefined {
  if (frame.length < ETHERNET_BYTES + ARP_BYTES) return undefined
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.getUint16(12) !== ETHERTYPE_ARP) return undefined
  return frame.slice(ETHERNET_BYTES + 8, ETHERNET_BYTES + 8 + MAC_BYTES)
}

function encodeArp(mac: Uint8Array, sender: Uint8Array, target: Uint8Array): Uint8Array {
  const frame = ethernet(everybody, mac, ETHERTYPE_ARP, ARP_BYTES)
  const view = new DataView(frame.buffer)
  view.setUint16(14, 1)
  view.setUint16(16, 0x0800)
  frame.set([MAC_BYTES, 4], 18)
  view.setUint16(20, ARP_REQUEST)
  frame.set(mac, 22)
  frame.set(sender, 28)
  // whose hardware is asked for is left out
  frame.set(target, 38)
  return frame
}

function encodeAdvertisement(mac: Uint8Array, address: Uint8Array): Uint8Array {
  const frame = ethernet(allNodesMac, mac, ETHERTYPE_IPV6, IPV6_BYTES + ADVERTISEMENT_BYTES)
  const view = new DataView(frame.buffer)
  frame[14] = 0x60
  view.setUint16(18, ADVERTISEMENT_BYTES)
  frame.set([ICMPV6, HOP_LIMIT], 20)
  frame.set(address, 22)
  frame.set(allNodes, 38)
  frame.set([NEIGHBOUR_ADVERTISEMENT, 0], 54)
  frame[58] = OVERRIDE
  frame.set(address, 62)
  frame.set([TARGET_MAC, 1], 78)
  frame.set(mac, 80)
  view.setUint16(56, checksum(frame))
  return frame
}

/** Over addresses, length and kind of the packet, and the advertisement (RFC 8200, 8.1). */
function checksum(frame: Uint8Array): number {
  const view = new DataView(frame.buffer)
  let sum = ADVERTISEMENT_BYTES + ICMPV6
  for (let at = 22; at < frame.length; at += 2) sum += view.getUint16(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function ethernet(to: Uint8Array, from: Uint8Array, type: number, payloadBytes: number): Uint8Array {
  const frame = new Uint8Array(ETHERNET_BYTES + payloadBytes)
  frame.set(to)
  frame.set(from, MAC_BYTES)
  new DataView(frame.buffer).setUint16(12, type)
  return frame
}
