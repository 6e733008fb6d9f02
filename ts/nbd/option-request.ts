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
  const decoded = decodeString(bytes, 'the name')
  return 'mistake' in decoded ? decoded : { name: decoded.text }
}

/** What the protocol calls a string, or the mistake in it. */
function decodeString(bytes: Uint8Array, what: string): { text: string } | { mistake: string } {
  if (bytes.length > TEXT_BYTE_LENGTH_MAX) {
    return { mistake: `${what} has ${bytes.length} bytes, at most ${TEXT_BYTE_LENGTH_MAX} are allowed` }
  }
  if (bytes.includes(0)) return { mistake: `${what} has a NUL byte in it` }
  try {
    return { text: utf8.decode(bytes) }
  } catch {
    return { mistake: `${what} is not valid UTF-8` }
  }
}

/** What LIST_META_CONTEXT and SET_META_CONTEXT carry: the name of an export and queries for contexts. */
export interface ContextRequest {
  readonly name: string
  readonly queries: readonly string[]
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

/** The data of options about contexts: u32 length of the name, name, u32 count; u32 length, query each. */
export function decodeContextRequest(data: Uint8Array): ContextRequest | { mistake: string } {
  if (data.length < 8) return { mistake: `the option has ${data.length} bytes, at least 8 are needed` }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const nameByteLength = view.getUint32(0)
  if (nameByteLength > data.length - 8) return { mistake: 'the name is longer than the option' }
  const decoded = decodeName(data.subarray(4, 4 + nameByteLength))
  if ('mistake' in decoded) return decoded
  const count = view.getUint32(4 + nameByteLength)
  const queries: string[] = []
  let at = 8 + nameByteLength
  for (; queries.length < count; ) {
    const query = decodeQuery(view, data, at)
    if ('mistake' in query) return query
    queries.push(query.text)
    at = query.end
  }
  if (at !== data.length) return { mistake: `${data.length - at} bytes follow the last query` }
  return { name: decoded.name, queries }
}

function decodeQuery(
  view: DataView,
  data: Uint8Array,
  at: number,
): { text: string; end: number } | { mistake: string } {
  if (data.length - at < 4) return { mistake: 'there are fewer queries than announced' }
  const byteLength = view.getUint32(at)
  if (byteLength > data.length - at - 4) return { mistake: 'a query is longer than the option' }
  const end = at + 4 + byteLength
  const decoded = decodeString(data.subarray(at + 4, end), 'a query')
  return 'mistake' in decoded ? decoded : { text: decoded.text, end }
}
