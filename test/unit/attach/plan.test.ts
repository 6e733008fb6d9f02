import t from 'tap'
import { type HostFacts, hostFacts, planWay, type WayWish } from '../../../ts/attach/plan.ts'
import { isStoreError } from '../../../ts/base/errors.ts'

const everything: HostFacts = {
  isRoot: true,
  hasNbd: true,
  hasFuse: true,
  hasLoop: true,
  programs: new Set(['qemu-storage-daemon', 'losetup', 'mount', 'umount', 'wipefs', 'mkfs.ext4', 'mkfs.xfs']),
}
const plain: WayWish = { way: undefined, isTls: false, fileSystem: undefined, mounts: false }

function failureOf(facts: Partial<HostFacts>, wish: Partial<WayWish>): { code: string; message: string } {
  try {
    return { code: planWay({ ...everything, ...facts }, { ...plain, ...wish }), message: '' }
  } catch (error) {
    if (isStoreError(error)) return error
    throw error
  }
}

t.test("the kernel's client is taken where it is, and FUSE where it is not, or cannot do it", async (t) => {
  t.equal(planWay(everything, plain), 'nbd')
  t.equal(planWay({ ...everything, hasNbd: false }, plain), 'fuse')
  t.equal(planWay(everything, { ...plain, isTls: true }), 'fuse', 'the kernel speaks no TLS')
  t.equal(planWay(everything, { ...plain, way: 'fuse' }), 'fuse')
  const bare = { ...everything, hasFuse: false, hasLoop: false, programs: new Set<string>() }
  t.equal(planWay(bare, plain), 'nbd', 'the kernel alone is enough')
})

t.test('what the host lacks is named, all at once, with the package that has it', async (t) => {
  t.match(failureOf({ isRoot: false }, {}), { code: 'HOST_LACKS', message: /by root: run it with sudo/ })
  const nothing = { hasNbd: false, hasFuse: false, hasLoop: false, programs: new Set<string>() }
  const { code, message } = failureOf(nothing, { fileSystem: 'xfs', mounts: true })
  t.equal(code, 'HOST_LACKS')
  for (const part of [
    /\/dev\/fuse \(modprobe fuse\)/,
    /\/dev\/loop-control \(modprobe loop\)/,
    /qemu-storage-daemon \(Debian package qemu-system-common\)/,
    /losetup \(Debian package mount\)/,
    /wipefs \(Debian package util-linux\)/,
    /mkfs\.xfs \(Debian package xfsprogs\)/,
    /or the kernel module nbd \(modprobe nbd\)/,
  ]) {
    t.match(message, part)
  }
  t.match(failureOf({ hasNbd: false }, { way: 'nbd' }), { message: /lacks the kernel module nbd/ })
  t.match(failureOf({}, { way: 'nbd', isTls: true }), { code: 'USAGE', message: /--way fuse/ })
  t.match(failureOf({ programs: new Set(['mount', 'umount']) }, { mounts: true }), {
    message: /lacks wipefs \(Debian package util-linux\)$/,
  })
  const noMaker = { programs: new Set(['wipefs']) }
  t.match(failureOf(noMaker, { fileSystem: 'ext4' }), {
    message: /lacks mkfs\.ext4 \(Debian package e2fsprogs\)$/,
  })
})

t.test('this host is looked at without harm', async (t) => {
  const facts = hostFacts()
  t.equal(facts.isRoot, process.getuid?.() === 0)
  t.ok(facts.programs.has('mount'), 'mount is everywhere')
})
