import { BLOCK_SIZE, TIB } from '../base/units.ts'
import { bytes, struct, u32, u64 } from './struct.ts'

/**
 * The volume directory is itself a volume (number 0) whose blocks hold 16 records each. A record
 * keeps its place for life; its number is never used again.
 */
export const volumeRecordVersions = [{ version: 1, why: 'first format' }] as const

export const VolumeRecord = struct('VolumeRecord', 256, {
  /** number of the volume; 0: the place is free */
  volume: u32,
  flags: u32,
  nameByteLength: u32,
  /** levels of pointer blocks between the root pointer and the data */
  height: u32,
  size: u64,
  /** data blocks in the tree */
  mappedBlocks: u64,
  root: bytes(16),
  identity: bytes(16),
  createdIn: u32,
  reserved: u32,
  name: bytes(128),
  rest: bytes(56),
})

export const VOLUME_RECORDS_PER_BLOCK = BLOCK_SIZE / VolumeRecord.byteLength
export const DIRECTORY_VOLUME = 0
export const VOLUMES_MAX = 4096
export const VOLUME_NAME_BYTES_MAX = 128
/** Block numbers within a volume are u32. */
export const VOLUME_BYTES_MAX = 16 * TIB - BLOCK_SIZE
export const VOLUME_BYTES_MULTIPLE = BLOCK_SIZE
