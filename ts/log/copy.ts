import { StoreError } from '../base/errors.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { identityText, sameIdentity } from '../format/identity.ts'
import {
  HEADERS_AT,
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
  /** memory for what is read from the vault, and for the marks written to it */
  readonly scratch: Memory
  /** why what the file held before cannot be used; empty if it can */
  readonly damage: string
  /** the memory did not survive: made anew, or of another size */
  readonly lost: boolean

  private constructor(
    file: NvramFile,
    layout: LogLayout,
    incarnation: Uint8Array,
    scratch: Memory,
    lost: boolean,
    damage: string,
  ) {
    this.memory = file.memory
    this.layout = layout
    this.ring = new LogRing(file.memory, layout)
    this.marks = new Marks(file.memory)
    this.incarnation = incarnation
    this.scratch = scratch
    this.lost = lost
    this.damage = damage
  }

  get incarnationText(): string {
    return identityText(this.incarnation)
  }

  /**
   * Opens the file; a ring that is new or damaged gets a new incarnation, and says why. One that is somebody
   * else's, or of another format, may be the only copy of that log: NVRAM_UNUSABLE, nothing is changed.
   */
  static open(world: World, name: string, pageCount: number, whose: LogOwnership): LogCopy {
    const layout = logLayout(pageCount)
    const file = world.nvram.open(name, layout.byteLength)
    const scratch = world.memory.allocate(layout.descriptorsAt)
    if (file.found === 'kept') {
      refuseForeign(file, whose)
      mendHeaders(file)
    }
    const mistake = file.found === 'kept' ? headerMistake(file, layout) : undefined
    if (file.found === 'kept' && mistake === undefined) {
      const header = LogRingHeader.decode(file.memory.bytes)
      const copy = new LogCopy(file, layout, header.incarnation, scratch, false, '')
      if (copy.marks.load() !== undefined) return copy
      const damage = `${file.path}: neither of its marks checks`
      return new LogCopy(file, layout, header.incarnation, scratch, false, damage)
    }
    const lost = file.found !== 'kept' || mistake === 'blank'
    const damage = lost ? '' : `${file.path}: ${mistake}`
    const incarnation = new Uint8Array(16)
    world.entropy.fill(incarnation)
    const copy = new LogCopy(file, layout, incarnation, scratch, lost, damage)
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
  const header = new Uint8Array(LogRingHeader.byteLength)
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
  // the first one decides, so it is the last one to be written
  for (const at of [...HEADERS_AT].reverse()) memory.bytes.set(header, at)
}

/** The header to believe: the first, unless only the second checks. */
function believedHeader({ memory: { bytes } }: NvramFile): Uint8Array {
  const headers = HEADERS_AT.map((at) => bytes.subarray(at, at + LogRingHeader.byteLength))
  return headers.find(isGood) ?? headers[0]!
}

const isGood = (header: Uint8Array): boolean => judgeSeal(header, LOG_RING_MAGIC, LOG_RING_VERSION) === 'good'

/** Makes both headers what the believed one is, so that the log never depends on one bit. */
function mendHeaders(file: NvramFile): void {
  const header = believedHeader(file).slice()
  if (!isGood(header)) return
  for (const at of HEADERS_AT) file.memory.bytes.set(header, at)
}

function refuseForeign(file: NvramFile, whose: LogOwnership): void {
  const bytes = believedHeader(file)
  const verdict = judgeSeal(bytes, LOG_RING_MAGIC, LOG_RING_VERSION)
  const foreign = verdict === 'good' ? foreignTo(bytes, whose) : undefined
  if (verdict === 'version') {
    const text = `${file.path} is a log of another format version`
    throw new StoreError('NVRAM_UNUSABLE', `${text}; start the version that wrote it, or move the file away`)
  }
  if (foreign !== undefined) {
    const text = `${file.path} is the log of another ${foreign}`
    const remedy = 'give this node an NVRAM directory of its own, or move the file away'
    throw new StoreError('NVRAM_UNUSABLE', `${text}; ${remedy}`)
  }
}

function foreignTo(bytes: Uint8Array, whose: LogOwnership): string | undefined {
  const header = LogRingHeader.decode(bytes)
  return (['pair', 'aggregate', 'node'] as const).find((what) => !sameIdentity(header[what], whose[what]))
}

function headerMistake(file: NvramFile, layout: LogLayout): string | undefined {
  const bytes = file.memory.bytes.subarray(0, LogRingHeader.byteLength)
  const verdict = judgeSeal(bytes, LOG_RING_MAGIC, LOG_RING_VERSION)
  if (verdict === 'blank' && file.memory.bytes.subarray(0, BLOCK_SIZE).every((byte) => byte === 0))
    return 'blank'
  if (verdict !== 'good') return 'its header does not check'
  const header = LogRingHeader.decode(bytes)
  return header.pageCount === layout.pageCount ? undefined : 'has another size than its header says'
}
