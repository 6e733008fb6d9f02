import type { RangeChange } from '../sim/volume-model.ts'
import { VolumeModel } from '../sim/volume-model.ts'
import { NbdDisconnected, NbdReplyError } from '../support/nbd-client.ts'
import { errno } from '../support/nbd-wire.ts'

/** A change that was asked for and has no answer that counts: it has happened, will, or never does. */
export interface OpenChange {
  readonly change: RangeChange
  /** of the record when its connection was given up: its owner has this epoch or a lower one */
  readonly epoch: number
  /** when its server had closed the connection. Nothing begins any more; what was logged may still show */
  overMs: number | undefined
}

export interface VolumeOptions {
  readonly name: string
  /** of the aggregate; the same as of the node where it is at home */
  readonly aggregate: 'castor' | 'pollux'
  readonly byteLength: number
  readonly servers: readonly string[]
  /** the epoch of the newest record of its aggregate */
  readonly epoch: () => number
  /** whether reads of its disk were made to fail, since some moment */
  readonly failedReadsSince: (ms: number) => boolean
}

/** A volume that several clients use at once, and what is known about it. */
export class SoakVolume {
  readonly options: VolumeOptions
  readonly model = new VolumeModel()
  readonly open = new Set<OpenChange>()

  constructor(options: VolumeOptions) {
    this.options = options
  }

  get byteLength(): number {
    return this.options.byteLength
  }

  get hasFlushable(): boolean {
    for (const { overMs } of this.open) if (overMs !== undefined) return true
    return false
  }

  /** A connection was given up: what was sent there is open until something decides it. */
  leaveOpen(change: RangeChange, answer: Promise<unknown>): OpenChange {
    const open: OpenChange = { change, epoch: this.options.epoch(), overMs: undefined }
    this.open.add(open)
    answer.then(
      () => {
        // the answer came after all: it has happened
        if (this.open.delete(open)) this.model.end(change)
      },
      (error: unknown) => {
        if (isOver(error)) open.overMs = performance.now()
      },
    )
    return open
  }

  /** A FLUSH that was asked for at `askedMs` has been answered: all that was logged before is in or out. */
  flushed(askedMs: number): void {
    this.#decide(({ overMs }) => overMs !== undefined && overMs < askedMs)
  }

  /** Somebody serves with this epoch: no owner before does anything any more. */
  served(epoch: number): void {
    this.#decide((open) => open.epoch < epoch)
  }

  mayFail(error: number, startedMs: number): boolean {
    return error === errno.EIO && this.options.failedReadsSince(startedMs)
  }

  #decide(isDecided: (open: OpenChange) => boolean): void {
    for (const open of this.open) {
      if (!isDecided(open)) continue
      this.open.delete(open)
      this.model.decide(open.change)
    }
  }
}

/** Whether the server is through with the request: it has refused it, or has ended the connection itself. */
function isOver(error: unknown): boolean {
  if (error instanceof NbdReplyError) return true
  if (!(error instanceof NbdDisconnected)) return false
  const reason = error.cause as NodeJS.ErrnoException | undefined
  return reason === undefined || reason.code === 'ECONNRESET' || reason.code === 'EPIPE'
}
