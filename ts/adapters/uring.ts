import { assert } from '../base/assert.ts'
import { StoreError } from '../base/errors.ts'
import type { Gather } from '../base/gather.ts'
import { GATHER_PIECES_MAX } from '../base/gather.ts'
import { BLOCK_SIZE, highWord, lowWord } from '../base/units.ts'
import type { Completion } from '../ports/completion.ts'
import type { Memory } from '../ports/memory.ts'
import { NativeMemory } from './memory.ts'
import { errnoName, makeEventfd, type NativeRing, native } from './native.ts'

/** Most operations in flight. The submission queue takes as many, so it never runs over. */
export const OPERATIONS_MAX = 4096
/** No thread is deaf for longer: a process that exits cannot wait for a system call to end. */
const WAIT_MAX_MS = 1000
const SQE_WORDS = 16
const CQE_WORDS = 4
const FENCED = -125

const Operation = {
  READV: 1,
  WRITEV: 2,
  FSYNC: 3,
  SENDMSG: 9,
  READ: 22,
  WRITE: 23,
  SEND: 26,
  RECV: 27,
} as const
const FSYNC_DATASYNC = 1
const MSG_WAITALL_NOSIGNAL = 0x100 | 0x4000

// A slot has room for a msghdr and a few iovecs; longer lists borrow a table of 1024.
const MSGHDR_BYTES = 56
const SLOT_BYTES = 256
const SLOT_PIECES = (SLOT_BYTES - 64) / 16
const TABLE_BYTES = GATHER_PIECES_MAX * 16

export type TurnResult = 'done' | 'fenced'

/**
 * One io_uring of one thread. Operations are written straight into the mapped submission queue and
 * leave together in `turn`, the only system call; completions are dispatched there, too, so none ever
 * runs inside the call that asked for it.
 */
export class Uring {
  /** Signal this eventfd (from any thread) to end the wait of a turn. */
  readonly wakeDescriptor: number
  /** what to do when the eventfd was signalled */
  onWake: () => void = () => {}
  readonly #native: NativeRing
  readonly #sqes: Uint32Array
  readonly #cqes: Int32Array
  /** what `enter` reports: the time, how many operations it has left over, and whether it slept */
  readonly #report = new Float64Array(3)
  readonly #slots: Memory
  readonly #tables: Memory[] = []
  readonly #tableOfSlot: (Memory | undefined)[] = []
  readonly #completions: (Completion | undefined)[] = []
  readonly #free: number[] = []
  readonly #wakeValue = new NativeMemory().allocate(BLOCK_SIZE)
  readonly #woken: Completion = { complete: (result) => this.#endWait(result) }
  #toSubmit = 0
  #cqHead = 0
  #consumed = 0
  /** operations that have not ended, the lasting read of the eventfd among them */
  inFlight = 0
  turns = 0

  constructor() {
    const created = native.uringCreate(OPERATIONS_MAX)
    if (typeof created === 'number') throw unusable(created)
    this.#native = created
    this.#sqes = new Uint32Array(created.sqes)
    const words = created.completionEntries * CQE_WORDS
    this.#cqes = new Int32Array(created.completions, created.completionsOffset, words)
    const { submissionEntries } = created
    this.#slots = new NativeMemory().allocate(submissionEntries * SLOT_BYTES)
    for (let slot = submissionEntries - 1; slot >= 0; slot -= 1) this.#free.push(slot)
    this.wakeDescriptor = makeEventfd()
    this.#report[0] = native.monotonicMs()
    this.#armWake()
  }

  /** Monotonic milliseconds as of the last turn. */
  get nowMs(): number {
    return this.#report[0]!
  }

  /** Whether the last turn slept, having looked in vain for as long as it was told. */
  get slept(): boolean {
    return this.#report[2] === 1
  }

  read(descriptor: number, at: number, into: Gather, done: Completion): void {
    this.#vectored(Operation.READ, Operation.READV, descriptor, at, into, done)
  }

  write(descriptor: number, at: number, from: Gather, done: Completion): void {
    this.#vectored(Operation.WRITE, Operation.WRITEV, descriptor, at, from, done)
  }

  flush(descriptor: number, done: Completion): void {
    const slot = this.#take(done)
    this.#push(Operation.FSYNC, descriptor, 0, 0, 0, FSYNC_DATASYNC, slot)
  }

  receive(descriptor: number, address: number, byteLength: number, done: Completion): void {
    this.#push(Operation.RECV, descriptor, 0, address, byteLength, 0, this.#take(done))
  }

  send(descriptor: number, from: Gather, done: Completion): void {
    const slot = this.#take(done)
    if (from.count === 1) {
      this.#push(
        Operation.SEND,
        descriptor,
        0,
        from.addresses[0]!,
        from.lengths[0]!,
        MSG_WAITALL_NOSIGNAL,
        slot,
      )
      return
    }
    const pieces = this.#writePieces(slot, from)
    const header = slot * SLOT_BYTES
    const words = this.#slots.u32
    words.fill(0, header / 4, (header + MSGHDR_BYTES) / 4)
    words[header / 4 + 4] = lowWord(pieces) // msg_iov
    words[header / 4 + 5] = highWord(pieces)
    words[header / 4 + 6] = from.count // msg_iovlen
    const address = this.#slots.address + header
    this.#push(Operation.SENDMSG, descriptor, 0, address, 1, MSG_WAITALL_NOSIGNAL, slot)
  }

  /**
   * Enters the kernel once: submits what was asked for, waits up to `waitMs` for a completion
   * (0: not at all; at most a second), and runs the completions that are there. If `notAfterMs` is not 0
   * and has passed, nothing is submitted and the answer is 'fenced'. For `spinUs` it looks for completions
   * without sleeping, and enters the kernel again if that has to do its part of them.
   */
  turn(waitMs: number, notAfterMs: number, spinUs = 0): TurnResult {
    this.turns += 1
    const { ring } = this.#native
    assert(waitMs >= 0, 'a turn waits for a time that is not negative')
    const asked = this.#toSubmit
    const timeoutMs = Math.min(waitMs, WAIT_MAX_MS)
    const ready = native.uringEnter(ring, asked, this.#consumed, timeoutMs, notAfterMs, this.#report, spinUs)
    this.#consumed = 0
    if (ready === FENCED) return 'fenced'
    this.#keepUnsubmitted(asked)
    if (ready < 0) throw new Error(`io_uring_enter: ${errnoName(ready)}`)
    this.#dispatch(ready)
    return 'done'
  }

  /** After a fence: operations that were asked for and not submitted end as cancelled, at once. */
  cancelUnsubmitted(): void {
    const cancelled: (Completion | undefined)[] = []
    for (let i = 0; i < this.#toSubmit; i += 1) cancelled.push(this.#release(this.#sqes[i * SQE_WORDS + 8]!))
    this.#toSubmit = 0
    for (const completion of cancelled) completion?.complete(FENCED)
  }

  /** Ends the ring; what is in flight is cancelled and never completes. */
  destroy(): void {
    native.closeDescriptor(this.wakeDescriptor)
    native.uringDestroy(this.#native.ring)
  }

  /** The kernel takes fewer operations than it was given when it is short of memory: the rest goes next. */
  #keepUnsubmitted(asked: number): void {
    const left = this.#report[1]!
    if (left > 0 && left < asked) this.#sqes.copyWithin(0, (asked - left) * SQE_WORDS, asked * SQE_WORDS)
    this.#toSubmit = left
  }

  #dispatch(ready: number): void {
    const mask = this.#native.completionEntries - 1
    for (let i = 0; i < ready; i += 1) {
      const cqe = ((this.#cqHead + i) & mask) * CQE_WORDS
      const slot = this.#cqes[cqe]!
      const result = this.#cqes[cqe + 2]!
      this.#release(slot)?.complete(result)
    }
    this.#cqHead += ready
    this.#consumed = ready
  }

  #vectored(
    single: number,
    many: number,
    descriptor: number,
    at: number,
    pieces: Gather,
    done: Completion,
  ): void {
    assert(pieces.count > 0, 'a transfer has at least one piece')
    const slot = this.#take(done)
    if (pieces.count === 1)
      this.#push(single, descriptor, at, pieces.addresses[0]!, pieces.lengths[0]!, 0, slot)
    else this.#push(many, descriptor, at, this.#writePieces(slot, pieces), pieces.count, 0, slot)
  }

  /** Writes the iovecs of a list where the kernel finds them; returns their address. */
  #writePieces(slot: number, pieces: Gather): number {
    let memory = this.#slots
    let from = slot * SLOT_BYTES + 64
    if (pieces.count > SLOT_PIECES) {
      memory = this.#tables.pop() ?? new NativeMemory().allocate(TABLE_BYTES)
      this.#tableOfSlot[slot] = memory
      from = 0
    }
    const words = memory.u32
    for (let i = 0; i < pieces.count; i += 1) {
      const word = from / 4 + i * 4
      const address = pieces.addresses[i]!
      words[word] = lowWord(address)
      words[word + 1] = highWord(address)
      words[word + 2] = pieces.lengths[i]!
      words[word + 3] = 0
    }
    return memory.address + from
  }

  #take(done: Completion): number {
    const slot = this.#free.pop()
    assert(slot !== undefined, 'operations in flight fit the completion queue')
    this.#completions[slot] = done
    this.inFlight += 1
    return slot
  }

  #release(slot: number): Completion | undefined {
    const completion = this.#completions[slot]
    this.#completions[slot] = undefined
    const table = this.#tableOfSlot[slot]
    if (table !== undefined) {
      this.#tables.push(table)
      this.#tableOfSlot[slot] = undefined
    }
    this.#free.push(slot)
    this.inFlight -= 1
    return completion
  }

  #push(
    operation: number,
    descriptor: number,
    at: number,
    address: number,
    length: number,
    flags: number,
    slot: number,
  ): void {
    assert(this.#toSubmit < this.#native.submissionEntries, 'the submission queue takes all operations')
    const sqe = this.#toSubmit * SQE_WORDS
    const words = this.#sqes
    words[sqe] = operation
    words[sqe + 1] = descriptor
    words[sqe + 2] = lowWord(at)
    words[sqe + 3] = highWord(at)
    words[sqe + 4] = lowWord(address)
    words[sqe + 5] = highWord(address)
    words[sqe + 6] = length
    words[sqe + 7] = flags
    words[sqe + 8] = slot // the rest of an entry is never written and so stays zero
    this.#toSubmit += 1
  }

  /** Keeps a read of the eventfd in the ring, so that another thread can end a wait. */
  #armWake(): void {
    const slot = this.#take(this.#woken)
    this.#push(Operation.READ, this.wakeDescriptor, 0, this.#wakeValue.address, 8, 0, slot)
  }

  #endWait(result: number): void {
    assert(result > 0 || isTransient(result) || result === FENCED, `the eventfd cannot be read: ${result}`)
    this.#armWake()
    if (result > 0) this.onWake()
  }
}

/** Whether an operation has done nothing and may be asked for again. */
export function isTransient(result: number): boolean {
  return result === -4 || result === -11 // EINTR, EAGAIN
}

function unusable(errno: number): StoreError {
  const why = errnoName(errno)
  const remedy =
    why === 'EPERM' || why === 'ENOSYS'
      ? 'io_uring is switched off; see the sysctl kernel.io_uring_disabled, or the seccomp profile of the container'
      : 'check the limits of this user (ulimit -l, -n)'
  return new StoreError('USAGE', `io_uring cannot be set up: ${why}; ${remedy}`)
}
