import { isStoreError } from '../../../ts/base/errors.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { judgeLabels } from '../../../ts/disk/label.ts'
import { openLabelled } from '../../../ts/disk/labelled-disk.ts'
import { memoryPool } from '../../../ts/disk/memory-pool.ts'
import { SIGNATURE_BYTES } from '../../../ts/disk/signatures.ts'
import { tailLabelAt } from '../../../ts/disk/zones.ts'
import { DiskLabel } from '../../../ts/format/disk-label.ts'
import { seal } from '../../../ts/format/sealed.ts'
import { aggregate, makeDisks, pair } from '../../support/image-world.ts'
import { MemoryWorld } from '../../support/memory-world.ts'
import { must, mustEqual, type Target } from '../target.ts'

const DISK_BYTES = 16 * MIB
const LABEL = DiskLabel.byteLength
const TAIL_AT = tailLabelAt(DISK_BYTES)
const world = new MemoryWorld()
const disk = makeDisks(world, [DISK_BYTES])[0]!
const head = disk.bytes.slice(0, LABEL)
const expected = { pair, aggregate, plex: 0, diskIndex: 0, diskCount: 1 }
const codes = ['DISK_FOREIGN', 'DISK_UNLABELLED', 'DISK_UNUSABLE', 'DISK_TOO_SMALL'] as const

/**
 * The first byte: which of the two labels get a right seal, and which end cannot be read. Then the label at
 * the head, that at the tail, and two bytes of place for what else is on the disk.
 */
export const target: Target = {
  name: 'label',
  byteLengthMax: 2 * LABEL + 600,
  seeds: () => [
    new Uint8Array(Buffer.concat([Buffer.of(3), head, head])),
    new Uint8Array(Buffer.concat([Buffer.of(2), Buffer.alloc(LABEL), head])),
    new Uint8Array(
      Buffer.concat([Buffer.of(0), Buffer.alloc(2 * LABEL), Buffer.of(0, 1), Buffer.from('EFI PART')]),
    ),
  ],
  run(input) {
    const flags = input[0] ?? 0
    disk.bytes.fill(0, 0, SIGNATURE_BYTES)
    disk.bytes.fill(0, TAIL_AT)
    disk.badBlocks.clear()
    put(input.subarray(1, 1 + LABEL), 0, (flags & 1) !== 0)
    put(input.subarray(1 + LABEL, 1 + 2 * LABEL), TAIL_AT, (flags & 2) !== 0)
    const rest = input.subarray(1 + 2 * LABEL)
    if (rest.length > 2) disk.bytes.set(rest.subarray(2), (rest[0]! * 256 + rest[1]!) * 2 + LABEL)
    if ((flags & 4) !== 0) disk.badBlocks.add(0)
    if ((flags & 8) !== 0) disk.badBlocks.add(TAIL_AT / BLOCK_SIZE)
    judge(flags)
    open()
  },
}

function put(label: Uint8Array, at: number, isSealed: boolean): void {
  disk.bytes.set(label, at)
  if (isSealed) seal(disk.bytes.subarray(at, at + LABEL))
}

function judge(flags: number): void {
  const ends = [disk.bytes.subarray(0, SIGNATURE_BYTES), disk.bytes.subarray(TAIL_AT)] as const
  const verdict = judgeLabels(
    (flags & 4) === 0 ? ends[0] : undefined,
    (flags & 8) === 0 ? ends[1] : undefined,
  )
  if (verdict.kind === 'foreign') return must(verdict.what !== '', 'what is there has a name')
  if (verdict.kind !== 'good') return
  const { aggregateName, blockCount } = verdict.label
  // numbers of that size are refused with their zones, names with the configuration
  if (Buffer.byteLength(aggregateName) > 64 || !Number.isSafeInteger(blockCount)) return
  const again = new Uint8Array(LABEL)
  DiskLabel.encode(verdict.label, again)
  mustEqual('the label', DiskLabel.decode(again).blockCount, blockCount)
}

function open(): void {
  try {
    const { zones, scratch } = world.run(openLabelled(disk, expected, world.memory))
    must(zones.blocksAt + zones.blockCount * BLOCK_SIZE <= DISK_BYTES, 'a disk has room for its blocks')
    must(zones.vaultAt + zones.vaultByteLength <= zones.blocksAt, 'and the vault for itself')
    memoryPool(world.memory).giveBack(scratch)
  } catch (error) {
    if (!codes.some((code) => isStoreError(error, code))) throw error
  }
}
