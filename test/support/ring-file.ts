import { readFileSync } from 'node:fs'
import { crc32c } from '../../ts/base/crc32c.ts'
import { BLOCK_SIZE } from '../../ts/base/units.ts'
import {
  ENTRY_SEALED_FROM,
  entryKindNames,
  LOG_ENTRY_MAGIC,
  LOG_MARKS_MAGIC,
  LogEntry,
  LogMarks,
  LogRingHeader,
  logLayout,
  MARKS_AT,
} from '../../ts/format/log-ring.ts'

export interface RingEntry {
  readonly sequence: number
  readonly epoch: number
  readonly kind: string
  readonly flags: number
  readonly volume: number
  readonly offset: number
  readonly length: number
  readonly generation: number
  readonly cookie: string
  /** descriptor, checksums and pages: everything that has to be the same on both nodes */
  readonly bytes: Buffer
  readonly pages: Buffer
  /** its seal and all its checksums hold */
  readonly good: boolean
}

export interface RingFile {
  readonly incarnation: string
  readonly epoch: number
  readonly complete: boolean
  readonly base: number
  readonly acknowledged: number
  /** every whole entry in the file, by sequence, whether or not it still counts */
  readonly entries: ReadonlyMap<number, RingEntry>
}

/** Reads a log ring as it lies in NVRAM, from the outside: no code of the log is used. */
export function readRing(path: string): RingFile {
  return parseRing(readFileSync(path))
}

export function parseRing(bytes: Buffer): RingFile {
  const header = LogRingHeader.decode(bytes)
  const layout = logLayout(header.pageCount)
  const marks = MARKS_AT.map((at) => LogMarks.decode(bytes, at))
    .filter(({ magic }) => magic === LOG_MARKS_MAGIC)
    .sort((a, b) => b.counter - a.counter)[0]
  const entries = new Map<number, RingEntry>()
  for (let index = 0; index < layout.descriptorCount; index += 1) {
    const entry = readEntry(bytes, layout, layout.descriptorsAt + index * LogEntry.byteLength)
    if (entry) entries.set(entry.sequence, entry)
  }
  return {
    incarnation: Buffer.from(header.incarnation).toString('hex'),
    epoch: marks?.epoch ?? 0,
    complete: marks?.complete === 1,
    base: marks?.base ?? 0,
    acknowledged: marks?.acknowledged ?? 0,
    entries,
  }
}

function readEntry(bytes: Buffer, layout: ReturnType<typeof logLayout>, at: number): RingEntry | undefined {
  const fields = LogEntry.decode(bytes, at)
  if (fields.magic !== LOG_ENTRY_MAGIC) return undefined
  const { firstPage, pageCount } = fields
  const descriptor = bytes.subarray(at, at + LogEntry.byteLength)
  const sums = cut(bytes, layout.checksumsAt + firstPage * 4, pageCount * 4)
  const pages = cut(bytes, layout.pagesAt + firstPage * BLOCK_SIZE, pageCount * BLOCK_SIZE)
  const sealed = Buffer.concat([descriptor.subarray(ENTRY_SEALED_FROM), sums])
  const isSealed = crc32c(sealed, 0) === fields.seal
  const isDataGood = Array.from({ length: pageCount }, (_, page) => page).every(
    (page) => crc32c(pages, page * BLOCK_SIZE, (page + 1) * BLOCK_SIZE) === sums.readUInt32LE(page * 4),
  )
  return {
    sequence: fields.sequence,
    epoch: fields.epoch,
    kind: entryKindNames[fields.kind] ?? `kind ${fields.kind}`,
    flags: fields.flags,
    volume: fields.volume,
    offset: fields.offset,
    length: fields.length,
    generation: fields.generation,
    cookie: Buffer.from(fields.cookie).toString('hex'),
    bytes: Buffer.concat([descriptor, sums, pages]),
    pages,
    good: isSealed && isDataGood,
  }
}

const cut = (bytes: Buffer, at: number, byteLength: number): Buffer => bytes.subarray(at, at + byteLength)
