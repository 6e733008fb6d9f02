import { MemoryBatch } from '../base/memory-batch.ts'
import type { Engine } from '../engine.ts'
import { entryKindNames } from '../format/log-ring.ts'
import type { LogDump, LogDumpEntry } from '../node/messages.ts'

/**
 * The entries of a log copy. Each node holds one copy of each aggregate's log: of its own aggregate
 * as owner (`own`), of its partner's as keeper (`partner`). Both are in local memory.
 */
export function dumpLog(engine: Engine, copy: string, limit: number): LogDump {
  const { ring, incarnationText } = engine.log
  const entries: LogDumpEntry[] = []
  const first = Math.max(ring.tail, ring.head - limit)
  for (let sequence = first; sequence < ring.head; sequence += 1) {
    entries.push({
      sequence,
      epoch: ring.epoch(sequence),
      kind: entryKindNames[ring.kind(sequence)] ?? `kind ${ring.kind(sequence)}`,
      volume: ring.volume(sequence),
      offset: ring.offset(sequence),
      length: ring.length(sequence),
      generation: new DataView(
        ring.descriptorBytes(sequence).buffer,
        ring.descriptorBytes(sequence).byteOffset,
      ).getUint32(28, true),
      firstPage: ring.firstPage(sequence),
      pageCount: ring.pageCount(sequence),
      good: isGood(engine, sequence),
    })
  }
  return { copy: copy === 'partner' ? 'partner' : 'own', incarnation: incarnationText, entries }
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
