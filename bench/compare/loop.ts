import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { atEnd } from '../cleanup.ts'

/** A loop device over a file, detached when the program ends; or why there is none. */
export function attachLoop(file: string): { readonly device: string } | { readonly reason: string } {
  if (process.getuid?.() !== 0) return { reason: 'that needs root' }
  const { status, stdout, stderr } = spawnSync('losetup', ['-f', '--show', '--direct-io=on', file], {
    encoding: 'utf8',
  })
  if (status !== 0) return { reason: (stderr ?? 'losetup is not installed').trim() }
  const device = stdout.trim()
  atEnd(() => void execFileSync('losetup', ['-d', device]))
  return { device }
}

/** A file with all its blocks, and a loop device over it; without one, the file itself and a note. */
export function makeDevice(file: string, byteLength: number): { path: string; note?: string } {
  execFileSync('fallocate', ['-l', String(byteLength), file])
  const loop = attachLoop(file)
  if ('device' in loop) return { path: loop.device }
  return { path: file, note: `a file in place of a loop device: ${loop.reason}` }
}

const SECTOR_BYTES = 512

/** Bytes that have been written to a block device since it was attached. */
export function bytesWrittenTo(device: string): number {
  return bytesWrittenIn(readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8'))
}

/** The seventh number of the kernel's statistics: sectors of 512 bytes, whatever the device has. */
export function bytesWrittenIn(stat: string): number {
  return Number(stat.trim().split(/\s+/)[6]) * SECTOR_BYTES
}
