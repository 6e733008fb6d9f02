import { parentPort, workerData } from 'node:worker_threads'
import type { OwnerRecord } from '../format/owner-record.ts'
import type { ArbiterAnswer } from '../ports/arbiter.ts'
import { ProcessWatch } from './process-locks.ts'
import { RecordFolder } from './record-folder.ts'

/** What the thread is started with: the folder, that of processes' locks, and the name of this process. */
export interface FolderPlace {
  readonly directory: string
  readonly alive: string
  readonly boot: string
}

export type FolderCall =
  | { readonly kind: 'read'; readonly aggregate: string }
  | {
      readonly kind: 'swap'
      readonly aggregate: string
      readonly expected: number | undefined
      readonly next: OwnerRecord
    }

export interface FolderAnswer {
  readonly id: number
  readonly answer: ArbiterAnswer
}

/* The thread of a `FileArbiter`. */
const { directory, alive, boot } = workerData as FolderPlace
const folder = new RecordFolder(directory, new ProcessWatch(alive, boot))
/** of each aggregate: when all that it was asked before is done */
const done = new Map<string, Promise<void>>()

parentPort!.on('message', ({ id, call }: { id: number; call: FolderCall }) => {
  const before = done.get(call.aggregate) ?? Promise.resolve()
  done.set(
    call.aggregate,
    before.then(async () => {
      const answer = await carryOut(call)
      parentPort!.postMessage({ id, answer } satisfies FolderAnswer)
    }),
  )
})

function carryOut(call: FolderCall): Promise<ArbiterAnswer> {
  return call.kind === 'read'
    ? folder.read(call.aggregate)
    : folder.swap(call.aggregate, call.expected, call.next)
}
