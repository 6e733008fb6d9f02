import { TEXT_BYTE_LENGTH_MAX } from '../format/nbd.ts'

/** What INFO and GO carry: the name of an export and the kinds of information that are wanted. */
export interface InfoRequest {
  readonly name: string
  readonly wanted: ReadonlySet<number>
}

// a byte order mark is part of a name, not to be removed from it
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The name of an export, or the mistake in it. */
export function decodeName(bytes: Uint8Array): { name: string } | { mistake: string } {
  if (bytes.length > TEXT_BYTE_LENGTH_MAX) {
    return { mistake: `the name has ${bytes.length} bytes, at most ${TEXT_BYTE_LENGTH_MAX} are allowed` }
  }
  if (bytes.includes(0)) return { mistake: 'the name has a NUL byte in it' }
  try {
    return { name: utf8.decode(bytes) }
  } catch {
    return { mistake: 'the name is not valid UTF-8' }
  }
}

/** The data of INFO or GO: u32 length of the name, name, u16 number of wishes, u16 each. */
export function decodeInfoRequest(data: Uint8Array): InfoRequest | { mistake: string } {
  if (data.length < 6) return { mistake: `the option has ${data.length} bytes, at least 6 are needed` }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const nameByteLength = view.getUint32(0)
  if (nameByteLength > data.length - 6) return { mistake: 'the name is longer than the option' }
  const countAt = 4 + nameByteLength
  const count = view.getUint16(countAt)
  if (data.length !== countAt + 2 + count * 2) {
    return { mistake: 'the length of the option does not fit the name and the number of requests' }
  }
  const decoded = decodeName(data.subarray(4, countAt))
  if ('mistake' in decoded) return decoded
  const wanted = new Set<number>()
  for (let at = countAt + 2; at < data.length; at += 2) wanted.add(view.getUint16(at))
  return { name: decoded.name, wanted }
}
