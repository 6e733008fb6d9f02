import { crc32c } from '../../../ts/base/crc32c.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { BLOCK_SIZE, KIB, MIB } from '../../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../../ts/disk/superblock.ts'
import { CHECKSUM } from '../../../ts/format/block-pointer.ts'
import { DiskLabel } from '../../../ts/format/disk-label.ts'
import { seal } from '../../../ts/format/sealed.ts'
import { Superblock, superblockSlot } from '../../../ts/format/superblock.ts'
import { VOLUME_BYTES_MAX } from '../../../ts/format/volume-record.ts'
import { ChangeLog, makeDisks, openImage, readBlock } from '../../support/image-world.ts'
import { MemoryWorld } from '../../support/memory-world.ts'
import { must, type Target } from '../target.ts'

const DISK_BYTES = 16 * MIB
const PATCH_HEADER = 4

/** A disk with three volumes; whatever an input does to it is undone afterwards. */
const world = new MemoryWorld()
const [disk] = makeDisks(world, [DISK_BYTES])
const slotAt = prepare()
const before = disk!.bytes.slice()
const superblock = Superblock.decode(disk!.bytes, slotAt)
const directoryAt = placeOfDirectory()

function prepare(): number {
  const image = openImage(world, [disk!])
  const log = new ChangeLog(world, image)
  for (const name of ['one', 'two', 'three']) log.create(name, MIB)
  for (let block = 0; block < 5; block += 1) log.write(1, block, 1)
  log.commit()
  const { epoch, generation } = image
  image.close()
  world.settle()
  return MIB + superblockSlot(epoch, generation) * BLOCK_SIZE
}

/** Where the only block of the directory is. */
function placeOfDirectory(): number {
  must(superblock.directoryHeight === 0, 'the directory has one block')
  const [physical] = new Uint32Array(superblock.directory.buffer)
  return DiskLabel.decode(disk!.bytes).blocksAt + physical! * BLOCK_SIZE
}

/**
 * Patches: which part (superblock, block of the directory), where in it, how many bytes, the bytes. The seals
 * are put right afterwards, and the superblock knows the checksum of the block of the directory.
 */
export const target: Target = {
  name: 'image',
  byteLengthMax: 600,
  seeds: () => [
    patch(0, Superblock.at.epoch, Buffer.of(1, 0, 0, 0)),
    patch(0, Superblock.at.directoryHeight, Buffer.of(3, 0, 0, 0)),
    patch(1, 0, Buffer.of(9, 0, 0, 0)),
    patch(1, 16, Buffer.from('ffffffffffff1f00', 'hex')),
  ],
  run(input) {
    apply(input)
    try {
      open()
    } finally {
      restore()
    }
  },
}

function patch(part: number, at: number, bytes: Buffer): Uint8Array {
  return new Uint8Array(Buffer.concat([Buffer.of(part, at >> 8, at & 255, bytes.length), bytes]))
}

function apply(input: Uint8Array): void {
  const bytes = disk!.bytes
  for (let at = 0; at + PATCH_HEADER < input.length; ) {
    const [part, high, low, length] = [input[at]!, input[at + 1]!, input[at + 2]!, input[at + 3]!]
    const piece = input.subarray(at + PATCH_HEADER, at + PATCH_HEADER + length)
    const place = (high * 256 + low) % (BLOCK_SIZE - piece.length)
    bytes.set(piece, ((part & 1) === 0 ? slotAt : directoryAt) + place)
    at += PATCH_HEADER + length
  }
  const pointer = new DataView(bytes.buffer, slotAt + Superblock.at.directory)
  pointer.setUint32(CHECKSUM * 4, crc32c(bytes, directoryAt, directoryAt + BLOCK_SIZE), true)
  seal(bytes.subarray(slotAt, slotAt + BLOCK_SIZE))
  const [first, second] = SUPERBLOCK_COPIES_AT
  bytes.copyWithin(slotAt - first + second, slotAt, slotAt + BLOCK_SIZE)
}

/** Opens or is refused; what opens is as an engine needs it. */
function open(): void {
  let image: ReturnType<typeof openImage>
  try {
    image = openImage(world, [disk!], { cacheByteLength: 256 * KIB })
  } catch (error) {
    if (isStoreError(error)) return
    throw error
  }
  for (const volume of image.directory.list()) {
    must(volume.volume < image.directory.nextVolume, 'a volume has a number that was given out')
    must(volume.size > 0 && volume.size <= VOLUME_BYTES_MAX, 'a volume has a size that it may have')
    look(image, volume)
  }
  image.close()
  world.settle()
}

/** Reading may fail, but only in words. */
function look(image: ReturnType<typeof openImage>, { volume, size }: { volume: number; size: number }): void {
  for (const block of [0, 4, Math.floor(size / BLOCK_SIZE) - 1]) {
    try {
      readBlock(world, image, volume, block)
    } catch (error) {
      if (!/damaged|no way to it|does not come/.test((error as Error).message)) throw error
    }
  }
}

function restore(): void {
  for (const at of [slotAt, slotAt - SUPERBLOCK_COPIES_AT[0] + SUPERBLOCK_COPIES_AT[1], directoryAt])
    disk!.bytes.set(before.subarray(at, at + BLOCK_SIZE), at)
  world.events.length = 0
}
