import { MemoryBatch } from '../base/memory-batch.ts'
import type { Engine } from '../engine.ts'
import { entryKindNames } from '../format/log-ring.ts'
import type { LogDump, LogDumpEntry, LogPart } from '../node/messages.ts'

/** Entries and pages that are checked for one answer: a few milliseconds, in which nothing else goes on. */
const WORK_PER_PART = 2048

/**
 * Entries of a log copy, the newest `limit` of them. Each node holds one copy of each aggregate's log: of
 * its own aggregate as owner (`own`), of its partner's as keeper (`partner`). Both are in local memory.
 * Told in parts; what a consistency point has released between two of them is left out.
 */
export function dumpLog(engine: Engine, copy: string, limit: number, part?: LogPart): LogDump {
  const { ring, incarnationText } = engine.log
  const entries: LogDumpEntry[] = []
  const from = Math.max(ring.tail, part?.from ?? ring.head - limit)
  const through = Math.min(ring.head - 1, part?.through ?? ring.head - 1)
  let sequence = from
  for (let work = 0; sequence <= through && work < WORK_PER_PART; sequence += 1) {
    work += 1 + ring.pageCount(sequence)
    entries.push(told(engine, sequence))
  }
  const whole = {
    copy: copy === 'partner' ? 'partner' : 'own',
    incarnation: incarnationText,
    entries,
  } as const
  return sequence > through ? whole : { ...whole, next: { from: sequence, through } }
}

function told(engine: Engine, sequence: number): LogDumpEntry {
  const { ring } = engine.log
  const { buffer, byteOffset } = ring.descriptorBytes(sequence)
  return {
    sequence,
    epoch: ring.epoch(sequence),
    kind: entryKindNames[ring.kind(sequence)] ?? `kind ${ring.kind(sequence)}`,
    volume: ring.volume(sequence),
    offset: ring.offset(sequence),
    length: ring.length(sequence),
    generation: new DataView(buffer, byteOffset).getUint32(28, true),
    firstPage: ring.firstPage(sequence),
    pageCount: ring.pageCount(sequence),
    good: isGood(engine, sequence),
  }
}

function isGood(engine: Engine, sequence: number): boolean {
  const { ring } = engine.log
  const batch = new MemoryBatch(4)
  ring.verifySealStep(batch, sequence)
  const pages = ring.pageCount(sequence)
  const page = ring.firstPage(sequence)
  if (pages > 0) batch.verifyBlocks(ring.pageAddress(page), pages, ring.checksumAddress(page))
  return engine.world.memory.run(batch) === 0
}
