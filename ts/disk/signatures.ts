/**
 * How the data of others begins. A disk that shows one of these is never written without force,
 * and the error says what is there.
 */
interface Signature {
  readonly what: string
  /** byte offsets at which the magic may be */
  readonly at: readonly number[]
  readonly magic: readonly number[]
}

const letters = (text: string): readonly number[] => Array.from(text, (letter) => letter.charCodeAt(0))
const every = (from: number, to: number, step: number): readonly number[] =>
  Array.from({ length: (to - from) / step }, (_, index) => from + index * step)

/** Bytes from the start of a disk that the signatures need. */
export const SIGNATURE_BYTES = 256 * 1024

const signatures: readonly Signature[] = [
  { what: 'a LUKS container', at: [0, 16384], magic: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] },
  { what: 'an xfs file system', at: [0], magic: letters('XFSB') },
  { what: 'an ext2, ext3 or ext4 file system', at: [0x438], magic: [0x53, 0xef] },
  { what: 'a btrfs file system', at: [0x10040], magic: letters('_BHRfS_M') },
  { what: 'an LVM physical volume', at: [0, 512, 1024, 1536], magic: letters('LABELONE') },
  { what: 'swap space', at: [4086, 16374, 65526], magic: letters('SWAPSPACE2') },
  {
    what: 'a member of a ZFS pool',
    at: every(131072, 262144, 1024),
    magic: [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0],
  },
  {
    what: 'a member of a ZFS pool',
    at: every(131072, 262144, 1024),
    magic: [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c],
  },
  { what: 'an NTFS file system', at: [3], magic: letters('NTFS    ') },
  { what: 'an exFAT file system', at: [3], magic: letters('EXFAT   ') },
  { what: 'a FAT file system', at: [54], magic: letters('FAT1') },
  { what: 'a FAT file system', at: [82], magic: letters('FAT32') },
  { what: 'a Linux RAID member', at: [0, 4096], magic: [0xfc, 0x4e, 0x2b, 0xa9] },
  { what: 'an f2fs file system', at: [1024], magic: [0x10, 0x20, 0xf5, 0xf2] },
  { what: 'a Ceph BlueStore device', at: [0], magic: letters('bluestore block device') },
  { what: 'a squashfs image', at: [0], magic: letters('hsqs') },
  { what: 'an ISO 9660 image', at: [0x8001], magic: letters('CD001') },
  { what: 'a GPT partition table', at: [512, 4096], magic: letters('EFI PART') },
  { what: 'an MBR partition table', at: [510], magic: [0x55, 0xaa] },
]

/** What the head of a disk looks like; undefined if like nothing known. */
export function foreignSignature(head: Uint8Array): string | undefined {
  for (const { what, at, magic } of signatures) {
    for (const from of at) {
      if (magic.every((byte, index) => head[from + index] === byte)) return what
    }
  }
  return undefined
}
