import { finish } from '../../test/support/finish.ts'
import { makeDisks, openImage } from '../../test/support/image-world.ts'
import { MemoryWorld, SeededRandom } from '../../test/support/memory-world.ts'
import { NativeMemory } from '../../ts/adapters/memory.ts'
import { assert } from '../../ts/base/assert.ts'
import { MemoryBatch } from '../../ts/base/memory-batch.ts'
import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import { apply } from '../../ts/flow/apply.ts'
import { EntryKind, LOG_PAGES_MIN, logLayout } from '../../ts/format/log-ring.ts'
import { DirtyIndex } from '../../ts/log/dirty-index.ts'
import { findEntries } from '../../ts/log/replay.ts'
import { LogRing, NO_ROOM } from '../../ts/log/ring.ts'
import type { MemoryPort } from '../../ts/ports/memory.ts'
import type { Micro } from './harness.ts'

const ENTRIES_PER_BATCH = 32
const VOLUME = 1
const EPOCH = 1

function ringOf(memory: MemoryPort, pageCount: number): LogRing {
  const layout = logLayout(pageCount)
  const ring = new LogRing(memory.allocate(layout.byteLength), layout)
  ring.reset(1)
  return ring
}

/** The descriptor and the seal of an entry with one page; its data is not copied here. */
function appendOne(ring: LogRing, batch: MemoryBatch, block: number): void {
  const page = ring.place(1)
  assert(page !== NO_ROOM, 'the ring of a benchmark has room')
  const offset = block * BLOCK_SIZE
  ring.append(batch, EPOCH, EntryKind.WRITE, 0, VOLUME, 1, offset, BLOCK_SIZE, page, 1, block, 0)
}

const append: Micro = {
  name: 'log: append and seal',
  per: 'entry',
  prepare: (scale) => {
    const entries = scale === 'small' ? 64 : 64 * 1024
    const memory = new NativeMemory()
    const ring = ringOf(memory, 1024)
    const batch = new MemoryBatch()
    const run = () => {
      for (let entry = 0; entry < entries; entry += ENTRIES_PER_BATCH) {
        for (let block = entry; block < entry + ENTRIES_PER_BATCH; block += 1) appendOne(ring, batch, block)
        memory.run(batch)
        ring.release(ring.head - 1)
      }
      return entries
    }
    return { run, hash: () => ring.head ^ ring.descriptorBytes(ring.head - 1)[4]! }
  },
}

function randomBlocks(count: number, limit: number): Uint32Array {
  const random = new SeededRandom(20)
  return Uint32Array.from({ length: count }, () => random.below(limit))
}

const indexSet: Micro = {
  name: 'dirty index: set',
  per: 'block',
  prepare: (scale) => {
    const blocks = randomBlocks(scale === 'small' ? 256 : 128 * 1024, 2 ** 24)
    const index = new DirtyIndex()
    const run = () => {
      index.clear()
      for (let i = 0; i < blocks.length; i += 1) index.set(VOLUME, blocks[i]!, i, i + 1)
      return blocks.length
    }
    return { run, hash: () => index.blockCount ^ index.lookup(VOLUME, blocks[7]!) }
  },
}

const indexLookup: Micro = {
  name: 'dirty index: look-up',
  per: 'block',
  prepare: (scale) => {
    const blocks = randomBlocks(scale === 'small' ? 256 : 128 * 1024, 2 ** 24)
    const index = new DirtyIndex()
    for (let i = 0; i < blocks.length; i += 2) index.set(VOLUME, blocks[i]!, i, i + 1)
    let mixed = 0
    const run = () => {
      mixed = 0
      for (let i = 0; i < blocks.length; i += 1) mixed = (mixed + index.lookup(VOLUME, blocks[i]!)) | 0
      return blocks.length
    }
    return { run, hash: () => mixed }
  },
}

/** A log as a dead owner leaves it: every entry is verified down to its data, and applied. */
const replay: Micro = {
  name: 'log: replay',
  per: 'entry of 4 KiB',
  prepare: (scale) => {
    const entries = scale === 'small' ? 64 : 32 * 1024
    const memory = new NativeMemory()
    const ring = filledRing(memory, entries)
    const world = new MemoryWorld()
    const { directory } = openImage(world, makeDisks(world, [32 * MIB]))
    const limits = {
      contained: 0,
      imageEpoch: EPOCH,
      allowedEpoch: EPOCH,
      marks: { epoch: EPOCH, complete: true, base: 1, acknowledged: entries },
    }
    const index = new DirtyIndex()
    const run = () => {
      index.clear()
      const { first, end } = finish(findEntries(ring, memory, limits))
      for (let sequence = first; sequence < end; sequence += 1)
        apply({ ring, active: index, directory }, sequence)
      return end - first
    }
    return { run, hash: () => index.blockCount }
  },
}

function filledRing(memory: MemoryPort, entries: number): LogRing {
  const ring = ringOf(memory, Math.max(LOG_PAGES_MIN, 2 * entries))
  const batch = new MemoryBatch()
  const source = memory.allocate(BLOCK_SIZE)
  const blocks = randomBlocks(entries, 2 ** 18)
  for (const block of blocks) {
    source.u32.fill(block)
    const page = ring.place(1)
    batch.copyWithChecksums(source.address, ring.pageAddress(page), 1, ring.checksumAddress(page))
    appendOne(ring, batch, block)
    memory.run(batch)
  }
  return ring
}

export const logMicros: readonly Micro[] = [append, indexSet, indexLookup, replay]
