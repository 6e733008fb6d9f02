import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { NativeNvram } from '../../../ts/adapters/nvram.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { GIB, MIB } from '../../../ts/base/units.ts'
import { scratch } from './driving.ts'

const shared = scratch('/dev/shm')
const plain = scratch()
t.teardown(shared.remove)
t.teardown(plain.remove)

function failureOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return isStoreError(error) ? `${error.code}: ${error.message}` : String(error)
  }
}

function mounts(command: string, options: readonly string[]): boolean {
  return spawnSync(command, options, { stdio: 'ignore' }).status === 0
}

t.test('a new ring is zeroed and all there; a second look at it sees the same bytes', async (t) => {
  const nvram = new NativeNvram(join(shared.folder, 'made', 'here'))
  const first = nvram.open('log', MIB)
  t.equal(first.found, 'new')
  t.equal(first.path, join(shared.folder, 'made', 'here', 'log.nvram'))
  t.equal(statSync(first.path).size, MIB)
  t.equal(statSync(first.path).blocks * 512, MIB, 'so that writing it cannot run out of space')
  t.equal(statSync(first.path).mode & 0o777, 0o600)
  t.ok(first.memory.bytes.every((byte) => byte === 0))
  first.memory.bytes[4711] = 42
  const second = nvram.open('log', MIB)
  t.equal(second.found, 'kept')
  t.equal(second.memory.bytes[4711], 42)
  second.memory.bytes[4712] = 43
  t.equal(first.memory.bytes[4712], 43, 'at once')
  t.same(readdirSync(join(shared.folder, 'made', 'here')), ['log.nvram'])
})

t.test('a ring of another length is kept aside and a new one made', async (t) => {
  const nvram = new NativeNvram(plain.folder)
  writeFileSync(join(plain.folder, 'log.nvram'), 'something of value')
  const { found, memory } = nvram.open('log', MIB)
  t.equal(found, 'resized')
  t.ok(memory.bytes.every((byte) => byte === 0))
  t.equal(readFileSync(join(plain.folder, 'log.nvram.damaged'), 'utf8'), 'something of value')
  t.equal(nvram.open('log', MIB).found, 'kept')
})

t.test('what an interrupted creation has left is no ring', async (t) => {
  const nvram = new NativeNvram(plain.folder)
  writeFileSync(join(plain.folder, 'half.nvram.new'), 'the beginning of')
  const { found, memory } = nvram.open('half', MIB)
  t.equal(found, 'new')
  t.ok(memory.bytes.every((byte) => byte === 0))
  t.notOk(existsSync(join(plain.folder, 'half.nvram.new')))
})

t.test('a ring has at most 4 GiB', async (t) => {
  const nvram = new NativeNvram(shared.folder)
  const message = failureOf(() => nvram.open('huge', 4 * GIB + 4096))
  t.match(message, /NVRAM_UNUSABLE: .*huge\.nvram: .*at most 4 GiB/)
  t.notOk(existsSync(join(shared.folder, 'huge.nvram')))
})

const small = scratch()
t.teardown(small.remove)
const skip =
  !mounts('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small.folder]) && 'needs the right to mount'
t.test('a directory without room is said so, and nothing is left behind', { skip }, async (t) => {
  t.teardown(() => mounts('umount', ['--lazy', small.folder]))
  const nvram = new NativeNvram(small.folder)
  const message = failureOf(() => nvram.open('log', 2 * MIB))
  t.match(message, /NVRAM_FULL: .*log\.nvram: no room for a log ring of 2097152 bytes/)
  t.same(readdirSync(small.folder), [])
  t.equal(nvram.open('log', MIB / 2).found, 'new')
})

t.test('a directory in place of the file is refused by name', async (t) => {
  mkdirSync(join(plain.folder, 'odd', 'log.nvram'), { recursive: true })
  const message = failureOf(() => new NativeNvram(join(plain.folder, 'odd')).open('log', MIB))
  t.match(message, /NVRAM_UNUSABLE: .*log\.nvram: cannot be mapped: EINVAL/)
})

t.test('memory and the page cache do not survive a loss of power', async (t) => {
  t.equal(new NativeNvram(shared.folder).persistent, false)
  t.equal(new NativeNvram(plain.folder).persistent, false)
})

t.test('a directory that cannot be made is refused by name', async (t) => {
  writeFileSync(join(plain.folder, 'file'), '')
  const message = failureOf(() => new NativeNvram(join(plain.folder, 'file', 'below')))
  t.match(message, /NVRAM_UNUSABLE: .*file\/below cannot be made: ENOTDIR/)
})
