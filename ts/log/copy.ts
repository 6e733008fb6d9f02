import { BLOCK_SIZE } from '../base/units.ts'
import { identityText, sameIdentity } from '../format/identity.ts'
import {
  LOG_RING_MAGIC,
  LOG_RING_VERSION,
  type LogLayout,
  LogRingHeader,
  logLayout,
} from '../format/log-ring.ts'
import { judgeSeal, seal } from '../format/sealed.ts'
import type { Memory } from '../ports/memory.ts'
import type { NvramFile } from '../ports/nvram.ts'
import type { World } from '../ports/world.ts'
import { Marks } from './marks.ts'
import { LogRing } from './ring.ts'

export interface LogOwnership {
  readonly pair: Uint8Array
  readonly aggregate: Uint8Array
  readonly node: Uint8Array
}

/**
 * This node's copy of an aggregate's log: ring, marks and header in one NVRAM file. It has no "mine"
 * and "yours": whether it is the owner's or the keeper's copy is only a matter of who writes to it.
 */
export class LogCopy {
  readonly memory: Memory
  readonly layout: LogLayout
  readonly ring: LogRing
  readonly marks: Marks
  readonly incarnation: Uint8Array
  /** why what the file held before cannot be used; empty if it can */
  readonly damage: string
  /** the memory did not survive: made anew, or of another size */
  readonly lost: boolean

  private constructor(
    file: NvramFile,
    layout: LogLayout,
    incarnation: Uint8Array,
    lost: boolean,
    damage: string,
  ) {
    this.memory = file.memory
    this.layout = layout
    this.ring = new LogRing(file.memory, layout)
    this.marks = new Marks(file.memory)
    this.incarnation = incarnation
    this.lost = lost
    this.damage = damage
  }

  get incarnationText(): string {
    return identityText(this.incarnation)
  }

  /** Opens the file; a ring that is new, foreign or damaged gets a new incarnation, and says why. */
  static open(world: World, name: string, pageCount: number, whose: LogOwnership): LogCopy {
    const layout = logLayout(pageCount)
    const file = world.nvram.open(name, layout.byteLength)
    const mistake = file.found === 'kept' ? headerMistake(file, layout, whose) : undefined
    if (file.found === 'kept' && mistake === undefined) {
      const header = LogRingHeader.decode(file.memory.bytes)
      const copy = new LogCopy(file, layout, header.incarnation, false, '')
      if (copy.marks.load() !== undefined) return copy
      return new LogCopy(file, layout, header.incarnation, false, `${file.path}: neither of its marks checks`)
    }
    const lost = file.found !== 'kept' || mistake === 'blank'
    const damage = lost ? '' : `${file.path}: ${mistake}`
    const incarnation = new Uint8Array(16)
    world.entropy.fill(incarnation)
    const copy = new LogCopy(file, layout, incarnation, lost, damage)
    // The header last: under the new incarnation no marks of an older one are ever found.
    copy.marks.begin(0, 1, false)
    writeHeader(file.memory, layout, whose, incarnation)
    return copy
  }
}

/** Says whose ring this is. A new incarnation makes every acknowledgement for an older one void. */
export function writeHeader(
  memory: Memory,
  layout: LogLayout,
  whose: LogOwnership,
  incarnation: Uint8Array,
): void {
  const header = memory.bytes.subarray(0, LogRingHeader.byteLength)
  LogRingHeader.encode(
    {
      magic: LOG_RING_MAGIC,
      version: LOG_RING_VERSION,
      seal: 0,
      descriptorCount: layout.descriptorCount,
      pageCount: layout.pageCount,
      reserved: 0,
      incarnation,
      ...whose,
      rest: new Uint8Array(40),
    },
    header,
  )
  seal(header)
}

function headerMistake(file: NvramFile, layout: LogLayout, whose: LogOwnership): string | undefined {
  const bytes = file.memory.bytes.subarray(0, LogRingHeader.byteLength)
  const verdict = judgeSeal(bytes, LOG_RING_MAGIC, LOG_RING_VERSION)
  if (verdict === 'blank' && file.memory.bytes.subarray(0, BLOCK_SIZE).every((byte) => byte === 0))
    return 'blank'
  if (verdict === 'version') return 'is of another format version; upgrade this node, or remove the file'
  if (verdict !== 'good') return 'its header does not check'
  const header = LogRingHeader.decode(bytes)
  if (!sameIdentity(header.pair, whose.pair)) return 'belongs to another pair'
  if (!sameIdentity(header.aggregate, whose.aggregate)) return 'belongs to another aggregate'
  if (!sameIdentity(header.node, whose.node)) return 'belongs to another node'
  return header.pageCount === layout.pageCount ? undefined : 'has another size than its header says'
}
