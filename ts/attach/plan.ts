import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { GenericNetlink } from '../adapters/netlink.ts'
import { StoreError } from '../base/errors.ts'
import { NBD_FAMILY } from '../format/nbd-netlink.ts'
import { findProgram, lackText, type Program } from './programs.ts'

/** nbd: the kernel's own client; fuse: a file that QEMU's storage daemon serves, under a loop device. */
export type Way = 'nbd' | 'fuse'
export const ways: readonly Way[] = ['nbd', 'fuse']

/** What a host has of all that is needed. */
export interface HostFacts {
  readonly isRoot: boolean
  readonly hasNbd: boolean
  readonly hasFuse: boolean
  readonly hasLoop: boolean
  readonly programs: ReadonlySet<string>
}

export interface WayWish {
  readonly way: Way | undefined
  readonly isTls: boolean
  /** type of the file system that is to be made */
  readonly fileSystem: string | undefined
  readonly mounts: boolean
}

const loopPrograms: readonly Program[] = ['qemu-storage-daemon', 'losetup', 'umount']

/** Which way a volume goes. Throws HOST_LACKS with all that is missing, and where it is found. */
export function planWay(facts: HostFacts, wish: WayWish): Way {
  if (!facts.isRoot) throw new StoreError('HOST_LACKS', 'block devices are made by root: run it with sudo')
  if (wish.way === 'nbd' && wish.isTls) {
    throw new StoreError('USAGE', "the kernel's NBD client speaks no TLS; attach with --way fuse")
  }
  const lacking = programsFor(wish).filter((name) => !facts.programs.has(name))
  const way = wish.way ?? (facts.hasNbd && !wish.isTls ? 'nbd' : 'fuse')
  const all = [...(way === 'nbd' ? lacksForNbd(facts) : lacksForFuse(facts)), ...lacking.map(lackText)]
  if (all.length === 0) return way
  const instead = wish.way === undefined && !wish.isTls && way === 'fuse'
  const or = instead ? `; or the kernel module nbd (modprobe nbd), which needs none of these` : ''
  throw new StoreError('HOST_LACKS', `this host lacks ${all.join(', ')}${or}`)
}

function programsFor({ fileSystem, mounts }: WayWish): Program[] {
  return [
    ...(fileSystem !== undefined || mounts ? (['wipefs'] as const) : []),
    ...(fileSystem === undefined ? [] : [`mkfs.${fileSystem}` as Program]),
    ...(mounts ? (['mount', 'umount'] as const) : []),
  ]
}

function lacksForNbd(facts: HostFacts): string[] {
  return facts.hasNbd ? [] : ['the kernel module nbd (modprobe nbd; Debian package linux-image-amd64)']
}

function lacksForFuse(facts: HostFacts): string[] {
  return [
    ...(facts.hasFuse ? [] : ['/dev/fuse (modprobe fuse)']),
    ...(facts.hasLoop ? [] : ['/dev/loop-control (modprobe loop)']),
    ...loopPrograms.filter((name) => !facts.programs.has(name)).map(lackText),
  ]
}

/** Looks at this host; a module that is there and not loaded is loaded. */
export function hostFacts(): HostFacts {
  const isRoot = process.getuid?.() === 0
  const names = ['qemu-storage-daemon', 'losetup', 'mount', 'umount', 'wipefs', 'mkfs.ext4', 'mkfs.xfs']
  return {
    isRoot,
    hasNbd: isRoot && (hasNbdFamily() || (isLoaded('nbd') && hasNbdFamily())),
    hasFuse: existsSync('/dev/fuse') || (isRoot && isLoaded('fuse') && existsSync('/dev/fuse')),
    hasLoop:
      existsSync('/dev/loop-control') || (isRoot && isLoaded('loop') && existsSync('/dev/loop-control')),
    programs: new Set(names.filter((name) => findProgram(name) !== undefined)),
  }
}

function hasNbdFamily(): boolean {
  const netlink = new GenericNetlink()
  try {
    return netlink.family(NBD_FAMILY) !== undefined
  } finally {
    netlink.close()
  }
}

function isLoaded(module: string): boolean {
  const modprobe = findProgram('modprobe')
  return modprobe !== undefined && spawnSync(modprobe, ['--quiet', module]).status === 0
}
