import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { NativeDisks } from '../../../ts/adapters/disk.ts'
import { NativeMemory } from '../../../ts/adapters/memory.ts'
import { monotonicMs, signalEventfd } from '../../../ts/adapters/native.ts'
import { OPERATIONS_MAX, Uring } from '../../../ts/adapters/uring.ts'
import { gatherOf, Result, scratch, wait } from './driving.ts'

const memory = new NativeMemory()
const page = memory.allocate(4096)
const { folder, remove } = scratch()
t.teardown(remove)

function diskFile(name: string): string {
  const path = join(folder, name)
  writeFileSync(path, new Uint8Array(1024 * 1024))
  return path
}

t.test('a turn without anything to do returns at once, or after the wait', async (t) => {
  const uring = new Uring()
  const before = monotonicMs()
  t.equal(uring.turn(0, 0), 'done')
  t.ok(monotonicMs() - before < 50)
  t.equal(uring.turn(60.5, 0), 'done')
  const tookMs = monotonicMs() - before
  t.ok(tookMs >= 60 && tookMs < 1000, `waited ${tookMs} ms`)
  t.ok(Math.abs(uring.nowMs - monotonicMs()) < 50, 'and the time is known without another call')
  uring.destroy()
})

t.test('after the lease nothing leaves; what was asked for can be cancelled', async (t) => {
  const uring = new Uring()
  const path = diskFile('fenced.img')
  const disk = new NativeDisks(uring).open(path)
  page.bytes.fill(7)
  const write = new Result()
  disk.write(0, gatherOf([page.address, 4096]), write)
  const inFlight = uring.inFlight
  t.equal(uring.turn(0, monotonicMs() - 1), 'fenced')
  t.equal(uring.turn(10, uring.nowMs), 'fenced')
  t.equal(write.times, 0)
  t.ok(
    readFileSync(path)
      .subarray(0, 4096)
      .every((byte) => byte === 0),
    'the disk has not seen it',
  )

  uring.cancelUnsubmitted()
  t.equal(write.value, -125)
  t.equal(uring.inFlight, inFlight - 1)
  t.equal(uring.turn(10, 0), 'done')
  t.equal(write.times, 1)
  t.ok(
    readFileSync(path)
      .subarray(0, 4096)
      .every((byte) => byte === 0),
    'nor does it later',
  )

  disk.write(0, gatherOf([page.address, 4096]), write)
  t.equal(uring.turn(1000, monotonicMs() + 60_000), 'done', 'a lease that lasts lets it out')
  while (write.times < 2) uring.turn(100, 0)
  t.equal(write.value, 4096)
  t.equal(readFileSync(path)[100], 7)
  disk.close()
  uring.destroy()
})

t.test('the wake-up survives a fence', async (t) => {
  const uring = new Uring()
  let wakes = 0
  uring.onWake = () => {
    wakes += 1
  }
  t.equal(uring.turn(0, 1), 'fenced')
  uring.cancelUnsubmitted()
  t.equal(wakes, 0)
  signalEventfd(uring.wakeDescriptor)
  uring.turn(5000, 0)
  t.equal(wakes, 1)
  uring.destroy()
})

t.test('another thread ends the wait of a turn, each time anew', async (t) => {
  const uring = new Uring()
  let wakes = 0
  uring.onWake = () => {
    wakes += 1
  }
  const source = `
    const { workerData } = require('node:worker_threads')
    const fs = require('node:fs')
    const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let i = 0; i < 3; i += 1) {
      Atomics.wait(pause, 0, 0, 30)
      fs.writeSync(workerData, one)
    }`
  const worker = new Worker(source, { eval: true, workerData: uring.wakeDescriptor })
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  const before = monotonicMs()
  while (wakes < 1 && monotonicMs() - before < 10_000) uring.turn(Number.POSITIVE_INFINITY, 0)
  while (wakes < 3 && monotonicMs() - before < 10_000) uring.turn(5000, 0)
  t.equal(wakes, 3)
  t.ok(monotonicMs() - before < 4000, 'no wait ran to its end')
  await ended
  uring.destroy()
})

t.test('all operations that fit are taken; one more is our own mistake', async (t) => {
  const uring = new Uring()
  const disk = new NativeDisks(uring).open(diskFile('many.img'))
  const result = new Result()
  const one = gatherOf([page.address, 4096])
  for (let i = 1; i < OPERATIONS_MAX; i += 1) disk.read(0, one, result)
  t.equal(uring.inFlight, OPERATIONS_MAX)
  t.throws(() => disk.read(0, one, result), /operations in flight/)
  const end = monotonicMs() + 10_000
  while (result.times < OPERATIONS_MAX - 1 && monotonicMs() < end) uring.turn(100, 0)
  t.equal(result.times, OPERATIONS_MAX - 1)
  t.equal(uring.inFlight, 1)
  uring.destroy()
})

t.test('slots and pieces are used again and again without growing', async (t) => {
  const uring = new Uring()
  const disk = new NativeDisks(uring).open(diskFile('again.img'))
  const pieces = gatherOf(...Array.from({ length: 20 }, () => [page.address, 4096] as const))
  t.equal(pieces.count, 20, 'long enough for a table')
  const result = new Result()
  for (let round = 0; round < 2000; round += 1) {
    disk.read(0, pieces, result)
    while (result.times <= round) uring.turn(100, 0)
    if (result.value !== 20 * 4096) t.fail(`round ${round}: ${result.value}`)
  }
  t.equal(uring.inFlight, 1)
  disk.close()
  uring.destroy()
})

t.test('a completion may ask for the next operation', async (t) => {
  const uring = new Uring()
  const disk = new NativeDisks(uring).open(diskFile('chain.img'))
  const one = gatherOf([page.address, 4096])
  const last = new Result()
  let left = 100
  const chain = {
    complete(result: number): void {
      left -= 1
      if (left > 0) disk.read(left * 4096, one, chain)
      else last.complete(result)
    },
  }
  disk.read(0, one, chain)
  t.equal(wait(uring, last), 4096)
  t.equal(left, 0)
  disk.close()
  uring.destroy()
})
