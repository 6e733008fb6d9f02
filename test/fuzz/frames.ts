import { crc32c } from '../../ts/base/crc32c.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import { FRAME_SEALED_FROM, FrameKind, LINK_MAGIC, LinkFrame } from '../../ts/format/link-frame.ts'
import { ENTRY_SEALED_FROM, EntryKind, LOG_ENTRY_MAGIC, LogEntry } from '../../ts/format/log-ring.ts'
import { encodeFrame, FRAME_BYTES, type FrameValues } from '../../ts/partner/frame.ts'

/** A frame with a right seal. */
export function frameBytes(values: FrameValues, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + payload.length)
  encodeFrame(bytes, 0, values, new Uint8Array(16), payload.length, crc32c(payload))
  bytes.set(payload, FRAME_BYTES)
  return bytes
}

/** A batch of writes with so many pages each, from a page on. */
export function entriesFrame(epoch: number, sequence: number, firstPage: number, pages: readonly number[]) {
  const pageCount = pages.reduce((sum, count) => sum + count, 0)
  const payload = new Uint8Array(pages.length * LogEntry.byteLength + pageCount * BLOCK_SIZE)
  payload.fill(7, pages.length * LogEntry.byteLength)
  let page = firstPage
  for (const [index, count] of pages.entries()) {
    const entry = {
      ...LogEntry.decode(new Uint8Array(LogEntry.byteLength)),
      magic: LOG_ENTRY_MAGIC,
      epoch,
      kind: EntryKind.WRITE,
      sequence: sequence + index,
      volume: 1,
      length: count * BLOCK_SIZE,
      firstPage: page,
      pageCount: count,
    }
    LogEntry.encode(entry, payload, index * LogEntry.byteLength)
    page += count
  }
  const values = { kind: FrameKind.ENTRIES, epoch, sequence, count: pages.length, firstPage, pageCount }
  return sealFrames(frameBytes(values, payload))
}

/** Puts every seal right, as whoever made the bytes would have done: of headers, payloads and entries. */
export function sealFrames(bytes: Uint8Array): Uint8Array {
  const sealed = Uint8Array.from(bytes)
  const view = new DataView(sealed.buffer)
  const { at } = LinkFrame
  for (let from = 0; from + FRAME_BYTES <= sealed.length; ) {
    if (view.getUint32(from + at.magic, true) !== LINK_MAGIC) break
    const payload = from + FRAME_BYTES
    const end = payload + view.getUint32(from + at.payloadByteLength, true)
    if (end <= sealed.length) {
      const isEntries = view.getUint16(from + at.kind, true) === FrameKind.ENTRIES
      if (isEntries) sealEntries(sealed, view, payload, end, view.getUint32(from + at.count, true))
      else view.setUint32(from + at.payloadSeal, crc32c(sealed, payload, end), true)
    }
    view.setUint32(from + at.seal, crc32c(sealed, from + FRAME_SEALED_FROM, payload), true)
    from = end
  }
  return sealed
}

function sealEntries(bytes: Uint8Array, view: DataView, payload: number, end: number, count: number): void {
  let page = payload + count * LogEntry.byteLength
  const sums = new Uint8Array(4)
  for (let index = 0; index < count; index += 1) {
    const entry = payload + index * LogEntry.byteLength
    const entryEnd = entry + LogEntry.byteLength
    if (entryEnd > end) return
    let seal = crc32c(bytes, entry + ENTRY_SEALED_FROM, entryEnd)
    const pages = view.getUint32(entry + LogEntry.at.pageCount, true)
    for (let i = 0; i < pages && page + BLOCK_SIZE <= end; i += 1, page += BLOCK_SIZE) {
      new DataView(sums.buffer).setUint32(0, crc32c(bytes, page, page + BLOCK_SIZE), true)
      seal = crc32c(sums, 0, 4, seal)
    }
    view.setUint32(entry + LogEntry.at.seal, seal, true)
  }
}
