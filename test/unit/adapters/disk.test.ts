import { execFileSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t from 'tap'
import { NativeDisks } from '../../../ts/adapters/disk.ts'
import { NativeMemory } from '../../../ts/adapters/memory.ts'
import { NativeNvram } from '../../../ts/adapters/nvram.ts'
import { Uring } from '../../../ts/adapters/uring.ts'
import { isStoreError } from '../../../ts/base/errors.ts'
import { Gather } from '../../../ts/base/gather.ts'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { ended, fillWith, gatherOf, Result, scratch, wait } from './driving.ts'

const { folder, remove } = scratch()
const uring = new Uring()
const disks = new NativeDisks(uring)
const memory = new NativeMemory()
t.teardown(remove)

function fileOf(byteLength: number): string {
  const path = join(folder, `${Math.random()}.img`)
  const descriptor = openSync(path, 'w')
  ftruncateSync(descriptor, byteLength)
  closeSync(descriptor)
  return path
}

function failureOf(path: string): string {
  try {
    disks.open(path)
    return 'none'
  } catch (error) {
    return isStoreError(error) && error.message.includes(path) ? error.code : String(error)
  }
}

t.test('what is written from private memory is read back into other memory', async (t) => {
  const path = fileOf(8 * MIB)
  const disk = disks.open(path)
  t.equal(disk.byteLength, 8 * MIB)
  t.equal(disk.path, path)
  const from = memory.allocate(MIB)
  const into = memory.allocate(MIB)
  fillWith(from, 1)
  t.equal(
    ended(uring, (done) => disk.write(3 * MIB, gatherOf([from.address, MIB]), done)),
    MIB,
  )
  t.equal(
    ended(uring, (done) => disk.flush(done)),
    0,
  )
  t.equal(
    ended(uring, (done) => disk.read(3 * MIB, gatherOf([into.address, MIB]), done)),
    MIB,
  )
  t.ok(Buffer.from(into.bytes).equals(from.bytes))
  t.ok(
    readFileSync(path)
      .subarray(3 * MIB, 4 * MIB)
      .equals(from.bytes),
    'and it is in the file',
  )
  disk.close()
})

t.test('direct I/O works from shared memory', async (t) => {
  const shared = scratch('/dev/shm')
  t.teardown(shared.remove)
  const { memory: ring } = new NativeNvram(shared.folder).open('ring', MIB)
  const disk = disks.open(fileOf(MIB))
  fillWith(ring, 2)
  const before = Buffer.from(ring.bytes)
  t.equal(
    ended(uring, (done) => disk.write(0, gatherOf([ring.address, MIB]), done)),
    MIB,
  )
  ring.bytes.fill(0)
  t.equal(
    ended(uring, (done) => disk.read(0, gatherOf([ring.address, MIB]), done)),
    MIB,
  )
  t.ok(before.equals(ring.bytes))
  disk.close()
})

t.test('many pieces go in one transfer, in the order of the list', async (t) => {
  const disk = disks.open(fileOf(8 * MIB))
  const from = memory.allocate(2 * 1024 * BLOCK_SIZE)
  const into = memory.allocate(1024 * BLOCK_SIZE)
  fillWith(from, 3)
  for (const count of [2, 12, 13, 1024]) {
    const pieces = new Gather()
    for (let i = count - 1; i >= 0; i -= 1) pieces.add(from.address + i * 2 * BLOCK_SIZE, BLOCK_SIZE)
    t.equal(pieces.count, count)
    const byteLength = count * BLOCK_SIZE
    t.equal(
      ended(uring, (done) => disk.write(0, pieces, done)),
      byteLength,
    )
    const back = gatherOf([into.address, byteLength])
    t.equal(
      ended(uring, (done) => disk.read(0, back, done)),
      byteLength,
    )
    for (let i = 0; i < count; i += 1) {
      const piece = from.bytes.subarray((count - 1 - i) * 2 * BLOCK_SIZE).subarray(0, BLOCK_SIZE)
      const found = into.bytes.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE)
      if (!Buffer.from(found).equals(piece)) t.fail(`piece ${i} of ${count} is in another place`)
    }
  }
  disk.close()
})

t.test('many transfers are in flight at once, and each gets its own result', async (t) => {
  const disk = disks.open(fileOf(4 * MIB))
  const from = memory.allocate(4 * MIB)
  fillWith(from, 4)
  const results: Result[] = []
  for (let at = 0; at < 4 * MIB; at += BLOCK_SIZE) {
    const result = new Result()
    results.push(result)
    disk.write(at, gatherOf([from.address + at, BLOCK_SIZE]), result)
  }
  for (const result of results) t.equal(wait(uring, result), BLOCK_SIZE)
  const into = memory.allocate(4 * MIB)
  t.equal(
    ended(uring, (done) => disk.read(0, gatherOf([into.address, 4 * MIB]), done)),
    4 * MIB,
  )
  t.ok(Buffer.from(into.bytes).equals(from.bytes))
  disk.close()
})

t.test('a completion never runs inside the call that asks for the operation', async (t) => {
  const disk = disks.open(fileOf(MIB))
  const result = new Result()
  disk.read(0, gatherOf([memory.allocate(BLOCK_SIZE).address, BLOCK_SIZE]), result)
  disk.flush(result)
  t.equal(result.times, 0)
  wait(uring, result)
  disk.close()
})

t.test('a transfer that comes out short is an I/O error, never a success', async (t) => {
  const path = fileOf(MIB)
  const disk = disks.open(path)
  truncateSync(path, MIB / 2)
  const into = gatherOf([memory.allocate(MIB).address, MIB])
  t.equal(
    ended(uring, (done) => disk.read(0, into, done)),
    -5,
  )
  disk.close()
})

t.test('transfers outside of the disk or out of alignment are our own mistakes', async (t) => {
  const disk = disks.open(fileOf(MIB + 100))
  t.equal(disk.byteLength, MIB, 'the last block that is not whole is not used')
  const into = memory.allocate(2 * BLOCK_SIZE)
  const whole = gatherOf([into.address, BLOCK_SIZE])
  t.throws(() => disk.read(MIB, whole, new Result()), /inside of the disk/)
  t.throws(() => disk.read(512, whole, new Result()), /aligned/)
  t.throws(() => disk.read(0, gatherOf([into.address, 512]), new Result()), /aligned/)
  disk.close()
  t.throws(() => disk.read(0, whole, new Result()), /closed/)
})

t.test('closing waits for what is in flight, and closes once', async (t) => {
  const disk = disks.open(fileOf(MIB))
  const result = new Result()
  disk.write(0, gatherOf([memory.allocate(BLOCK_SIZE).address, BLOCK_SIZE]), result)
  disk.close()
  disk.close()
  t.equal(wait(uring, result), BLOCK_SIZE)
  const descriptor = openSync('/dev/null', 'r')
  disk.close()
  t.doesNotThrow(() => closeSync(descriptor), 'a later close does not hit a descriptor of somebody else')
})

t.test('what cannot be a disk is refused by name', async (t) => {
  const file = fileOf(MIB)
  t.equal(failureOf(join(folder, 'missing')), 'DISK_MISSING')
  t.equal(failureOf(join(file, 'below')), 'DISK_MISSING')
  mkdirSync(join(folder, 'a-folder'))
  t.equal(failureOf(join(folder, 'a-folder')), 'DISK_UNUSABLE')
  t.equal(failureOf('/dev/null'), 'DISK_UNUSABLE')
})

t.test('a file on a file system without direct I/O still works', async (t) => {
  const shared = scratch('/dev/shm')
  t.teardown(shared.remove)
  const path = join(shared.folder, 'disk.img')
  writeFileSync(path, new Uint8Array(MIB))
  const disk = disks.open(path)
  const from = memory.allocate(BLOCK_SIZE)
  fillWith(from, 5)
  const whole = gatherOf([from.address, BLOCK_SIZE])
  t.equal(
    ended(uring, (done) => disk.write(BLOCK_SIZE, whole, done)),
    BLOCK_SIZE,
  )
  t.ok(
    readFileSync(path)
      .subarray(BLOCK_SIZE, 2 * BLOCK_SIZE)
      .equals(from.bytes),
  )
  disk.close()
})

t.test('two paths to one file have one identity', async (t) => {
  const path = fileOf(MIB)
  const opened = [path, `${dirname(path)}/./${basename(path)}`, fileOf(MIB)].map((path) => disks.open(path))
  const [one, two, other] = opened.map((disk) => disk.identity)
  t.equal(one, two)
  t.not(one, other)
  for (const disk of opened) disk.close()
})

function attachLoop(path: string): string | undefined {
  try {
    const options = ['-f', '--show', '--direct-io=off', path]
    return execFileSync('losetup', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

const loop = attachLoop(fileOf(16 * MIB))
const skip = loop === undefined && 'needs a loop device'
t.test(
  'a block device opens for both nodes of a pair, but not while something has claimed it',
  { skip },
  async (t) => {
    const device = loop!
    t.teardown(() => execFileSync('losetup', ['-d', device]))
    const first = disks.open(device)
    const second = disks.open(device)
    t.equal(first.byteLength, 16 * MIB)
    const from = memory.allocate(BLOCK_SIZE)
    const into = memory.allocate(BLOCK_SIZE)
    fillWith(from, 6)
    const whole = gatherOf([from.address, BLOCK_SIZE])
    t.equal(
      ended(uring, (done) => first.write(MIB, whole, done)),
      BLOCK_SIZE,
    )
    t.equal(
      ended(uring, (done) => first.flush(done)),
      0,
    )
    t.equal(
      ended(uring, (done) => second.read(MIB, gatherOf([into.address, BLOCK_SIZE]), done)),
      BLOCK_SIZE,
    )
    t.ok(Buffer.from(into.bytes).equals(from.bytes))
    first.close()
    second.close()
    const O_EXCL_RDONLY = 0o200
    const claim = openSync(device, O_EXCL_RDONLY)
    t.equal(failureOf(device), 'DISK_BUSY')
    closeSync(claim)
    t.equal(failureOf(device), 'none')
  },
)
