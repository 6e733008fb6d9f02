import { crc32c } from '../base/crc32c.ts'

/**
 * Structures that stand alone on disk or in NVRAM begin with magic and version, which never move,
 * and a CRC32C of everything behind it.
 */
export const MAGIC_AT = 0
export const VERSION_AT = 4
export const SEAL_AT = 8
export const SEALED_FROM = 12

export type SealVerdict = 'good' | 'blank' | 'foreign' | 'version' | 'torn'

export function seal(block: Uint8Array): void {
  view(block).setUint32(SEAL_AT, crc32c(block, SEALED_FROM), true)
}

export function judgeSeal(block: Uint8Array, magic: number, version: number): SealVerdict {
  const words = view(block)
  if (words.getUint32(MAGIC_AT, true) !== magic) return isBlank(block) ? 'blank' : 'foreign'
  if (words.getUint32(VERSION_AT, true) !== version) return 'version'
  return words.getUint32(SEAL_AT, true) === crc32c(block, SEALED_FROM) ? 'good' : 'torn'
}

/** Most slots of a disk are blank, and all are judged whenever an image is opened: no call for each byte. */
export function isBlank(block: Uint8Array): boolean {
  const words = view(block)
  let at = 0
  for (; at + 4 <= block.length; at += 4) if (words.getUint32(at, true) !== 0) return false
  for (; at < block.length; at += 1) if (block[at] !== 0) return false
  return true
}

const view = (block: Uint8Array): DataView => new DataView(block.buffer, block.byteOffset, block.byteLength)
