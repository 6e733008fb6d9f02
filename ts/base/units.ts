export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB
export const TIB = 1024 * GIB

/** The unit of storage, of checksums and of ring pages, in bytes. */
export const BLOCK_SIZE = 4096

export const blocksToBytes = (blocks: number): number => blocks * BLOCK_SIZE
export const bytesToBlocksUp = (bytes: number): number => Math.ceil(bytes / BLOCK_SIZE)
export const roundDown = (value: number, unit: number): number => value - (value % unit)
export const roundUp = (value: number, unit: number): number => roundDown(value + unit - 1, unit)
export const isMultiple = (value: number, unit: number): boolean => value % unit === 0

/** u64 fields travel as two u32; numbers stay exact up to 2^53. */
export const TWO_32 = 0x1_0000_0000
export const highWord = (value: number): number => Math.floor(value / TWO_32)
export const lowWord = (value: number): number => value >>> 0
export const fromWords = (low: number, high: number): number => high * TWO_32 + (low >>> 0)
