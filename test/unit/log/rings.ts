import { assert } from '../../../ts/base/assert.ts'
import { MemoryBatch } from '../../../ts/base/memory-batch.ts'
import { BLOCK_SIZE } from '../../../ts/base/units.ts'
import { EntryKind, logLayout } from '../../../ts/format/log-ring.ts'
import { LogRing, NO_ROOM } from '../../../ts/log/ring.ts'
import type { Memory, MemoryPort } from '../../../ts/ports/memory.ts'
import { MemoryTwin } from './memory-twin.ts'

export interface Written {
  readonly sequence: number
  readonly firstPage: number
  readonly pageCount: number
}

export function ringOf(memory: MemoryPort = new MemoryTwin(), pageCount = 256): LogRing {
  const layout = logLayout(pageCount)
  return new LogRing(memory.allocate(layout.byteLength), layout)
}

/** The data of page `index` of an entry: tells sequence and place apart. */
export function pageOf(sequence: number, index: number): Uint8Array {
  const page = new Uint8Array(BLOCK_SIZE)
  const words = new Uint32Array(page.buffer)
  for (let word = 0; word < words.length; word += 1) words[word] = sequence * 65_537 + index * 257 + word
  return page
}

/** Entries of `found`, from `first` on, that are not what they are in `source`, with the data of `pageOf`. */
export function wrong(found: LogRing, source: LogRing, first = found.tail): number[] {
  const differing: number[] = []
  for (let sequence = first; sequence < found.head; sequence += 1) {
    const same = Buffer.compare(found.descriptorBytes(sequence), source.descriptorBytes(sequence)) === 0
    const pages = Array.from({ length: found.pageCount(sequence) }, (_, i) => i)
    const page = found.firstPage(sequence)
    const isGood = pages.every((i) => Buffer.compare(found.pageBytes(page + i), pageOf(sequence, i)) === 0)
    if (!same || !isGood) differing.push(sequence)
  }
  return differing
}

/** Logs one WRITE as the owner does: descriptor, data with checksums, seal. Undefined: there is no room. */
export class Writer {
  readonly ring: LogRing
  readonly #memory: MemoryPort
  readonly #source: Memory
  readonly #batch = new MemoryBatch(16)
  epoch: number

  constructor(ring: LogRing, memory: MemoryPort, epoch = 1) {
    this.ring = ring
    this.#memory = memory
    this.#source = memory.allocate(64 * BLOCK_SIZE)
    this.epoch = epoch
  }

  write(pageCount: number, volume = 7, offset = 0): Written | undefined {
    const { ring } = this
    const firstPage = ring.place(pageCount)
    if (firstPage === NO_ROOM) return undefined
    const sequence = ring.head
    for (let i = 0; i < pageCount; i += 1) this.#source.bytes.set(pageOf(sequence, i), i * BLOCK_SIZE)
    if (pageCount > 0) {
      const checksums = ring.checksumAddress(firstPage)
      const target = ring.pageAddress(firstPage)
      this.#batch.copyWithChecksums(this.#source.address, target, pageCount, checksums)
    }
    const kind = pageCount > 0 ? EntryKind.WRITE : EntryKind.TRIM
    const length = pageCount * BLOCK_SIZE
    ring.append(this.#batch, this.epoch, kind, 1, volume, 3, offset, length, firstPage, pageCount, 11, 22)
    assert(this.#memory.run(this.#batch) === 0, 'writing verifies nothing')
    return { sequence, firstPage, pageCount }
  }
}
