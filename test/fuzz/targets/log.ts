import { crc32c } from '../../../ts/base/crc32c.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { ENTRY_SEALED_FROM, LogEntry, LogMarks, MARKS_AT } from '../../../ts/format/log-ring.ts'
import { seal } from '../../../ts/format/sealed.ts'
import { Marks } from '../../../ts/log/marks.ts'
import { LogRing } from '../../../ts/log/ring.ts'
import { finish } from '../../support/finish.ts'
import { recover } from '../../support/recover.ts'
import { MemoryTwin } from '../../unit/log/memory-twin.ts'
import { ringOf, Writer } from '../../unit/log/rings.ts'
import { must, type Target } from '../target.ts'

const FIRST = 1000
const PATCH_HEADER = 4
const Part = { DESCRIPTOR: 0, CHECKSUM: 1, PAGE: 2, MARKS: 3 } as const
const SEALED = 4

/** A log of some entries; an input damages it in places, and that is undone afterwards. */
const memory = new MemoryTwin()
const { ring } = new Writer(ringOf(memory), memory, 3)
const { bytes } = ring.memory
const { checksumsAt, pagesAt, descriptorsAt, pageCount: ringPages } = ring.layout
const before = write()

function write(): Uint8Array {
  const writer = new Writer(ring, memory, 3)
  ring.reset(FIRST)
  const marks = new Marks(ring.memory)
  marks.begin(3, FIRST, true)
  for (const pages of [1, 0, 2, 0, 3, 1]) writer.write(pages)
  marks.acknowledge(FIRST + 3)
  return bytes.slice()
}

/** Three bytes of limits, then patches: part, place, index or offset, how many bytes, the bytes. */
export const target: Target = {
  name: 'log',
  byteLengthMax: 400,
  seeds: () => [
    Uint8Array.of(0, 3, 3),
    Uint8Array.of(0, 3, 4, Part.DESCRIPTOR + SEALED, 1, LogEntry.at.epoch, 1, 4),
    Uint8Array.of(1, 3, 3, Part.PAGE, 2, 17, 1, 9),
    Uint8Array.of(2, 2, 3, Part.MARKS + SEALED, 0, LogMarks.at.acknowledged, 2, 0xea, 3),
    Uint8Array.of(3, 3, 3, Part.DESCRIPTOR + SEALED, 2, LogEntry.at.pageCount, 1, 65),
  ],
  run(input) {
    const [flags, imageEpoch, allowedEpoch] = [input[0] ?? 0, input[1] ?? 3, input[2] ?? 3]
    patch(input.subarray(3))
    try {
      const contained = FIRST - 1 + (flags & 3)
      const marks = (flags & 4) === 0 ? new Marks(ring.memory).load() : undefined
      mustRecover({ contained, imageEpoch, allowedEpoch, marks })
    } finally {
      bytes.set(before.subarray(0, pagesAt + 8 * BLOCK_SIZE))
    }
  },
}

function patch(input: Uint8Array): void {
  for (let at = 0; at + PATCH_HEADER < input.length; ) {
    const [part, index, offset, length] = [input[at]!, input[at + 1]!, input[at + 2]!, input[at + 3]!]
    const place = placeOf(part & 3, index, offset)
    const piece = input.subarray(at + PATCH_HEADER, at + PATCH_HEADER + Math.min(length, 64))
    bytes.set(piece, place)
    if ((part & SEALED) !== 0) sealAgain(part & 3, index)
    at += PATCH_HEADER + Math.min(length, 64)
  }
}

function placeOf(part: number, index: number, offset: number): number {
  const sequence = FIRST + (index % 8)
  if (part === Part.DESCRIPTOR) return descriptorAt(sequence) + (offset % LogEntry.byteLength)
  if (part === Part.CHECKSUM) return checksumsAt + (index % 8) * 4
  if (part === Part.PAGE) return pagesAt + (index % 8) * BLOCK_SIZE + offset
  return MARKS_AT[index & 1]! + (offset % LogMarks.byteLength)
}

const descriptorAt = (sequence: number): number =>
  descriptorsAt + (sequence % ring.layout.descriptorCount) * LogEntry.byteLength

/** As whoever wrote it would have sealed it. */
function sealAgain(part: number, index: number): void {
  if (part === Part.MARKS)
    return seal(bytes.subarray(MARKS_AT[index & 1]!, MARKS_AT[index & 1]! + LogMarks.byteLength))
  if (part !== Part.DESCRIPTOR) return
  const at = descriptorAt(FIRST + (index % 8))
  const { firstPage, pageCount } = LogEntry.decode(bytes, at)
  let sum = crc32c(bytes, at + ENTRY_SEALED_FROM, at + LogEntry.byteLength)
  if (pageCount <= 64 && firstPage + pageCount <= ringPages) {
    const from = checksumsAt + firstPage * 4
    sum = crc32c(bytes, from, from + pageCount * 4, sum)
  }
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at + LogEntry.at.seal, sum, true)
}

function mustRecover(limits: Parameters<typeof recover>[2]): void {
  const found = new LogRing(ring.memory, ring.layout)
  try {
    finish(recover(found, memory, limits))
  } catch (error) {
    if (!isStoreError(error, 'LOG_DAMAGED')) throw error
    return
  }
  must(found.tail === limits.contained + 1, 'it begins behind what the disks contain')
  must(found.entryCount <= found.layout.descriptorCount, 'it is not overfull')
  let epoch = limits.imageEpoch
  for (let sequence = found.tail; sequence < found.head; sequence += 1) {
    must(found.claimedSequence(sequence) === sequence, 'each entry is in its place')
    must(found.epoch(sequence) >= epoch, 'epochs rise')
    epoch = found.epoch(sequence)
    must(epoch <= limits.allowedEpoch, 'no entry is of a later epoch than allowed')
    must(found.firstPage(sequence) + found.pageCount(sequence) <= ringPages, 'pages are inside of the ring')
  }
  const { marks } = limits
  if (marks !== undefined && marks.base <= found.tail)
    must(
      found.head > marks.acknowledged || marks.acknowledged < found.tail,
      'nothing acknowledged is missing',
    )
}
