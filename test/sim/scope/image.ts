import type { Gather } from '../../../ts/base/gather.ts'
import type { Procedure } from '../../../ts/base/procedure.ts'
import { labelDisk } from '../../../ts/disk/label.ts'
import { identityFromText } from '../../../ts/format/identity.ts'
import { logLayout, vaultByteLengthOf } from '../../../ts/format/log-ring.ts'
import type { Completion } from '../../../ts/ports/completion.ts'
import type { Disk } from '../../../ts/ports/disk.ts'
import { check } from '../../../ts/volume/check.ts'
import { Image } from '../../../ts/volume/image.ts'
import { SimMemory } from '../memory.ts'
import { Platter } from './platter.ts'
import { DISK_BYTES, identities, mappings, settingsOf } from './world.ts'

/** A platter outside of any world: it answers in the next step of the procedure. */
class PromptDisk implements Disk {
  readonly path = 'disk0'
  readonly byteLength: number
  readonly #platter: Platter
  readonly #memory: SimMemory
  #due: (() => void)[] = []

  constructor(platter: Platter, memory: SimMemory) {
    this.#platter = platter
    this.#memory = memory
    this.byteLength = platter.byteLength
  }

  read(at: number, into: Gather, done: Completion): void {
    this.#memory.scatter(this.#platter.blocks(at, into.byteLength), into)
    this.#due.push(() => done.complete(into.byteLength))
  }

  write(at: number, from: Gather, done: Completion): void {
    const bytes = this.#memory.gathered(from)
    this.#platter.write(at, bytes)
    this.#due.push(() => done.complete(bytes.length))
  }

  flush(done: Completion): void {
    this.#platter.flush()
    this.#due.push(() => done.complete(0))
  }

  close(): void {}

  drive<T>(procedure: Procedure<T>): T {
    for (;;) {
      const { done, value } = procedure.next()
      if (done) return value
      const due = this.#due
      this.#due = []
      for (const run of due) run()
    }
  }
}

const quiet = { event: () => {}, serving: () => {}, answer: () => {}, wantLink: () => {} }

/** A labelled disk with an empty image. */
export function formattedPlatter(): Platter {
  const memory = new SimMemory(mappings)
  const platter = new Platter(DISK_BYTES)
  const disk = new PromptDisk(platter, memory)
  const facts = {
    pair: identityFromText(identities.pair)!,
    aggregate: identityFromText(identities.aggregate)!,
    disk: new Uint8Array(16).fill(7),
    aggregateName: 'aggregate',
    plex: 0,
    diskIndex: 0,
    diskCount: 1,
    vaultByteLength: vaultByteLengthOf(logLayout(settingsOf('castor', 'pollux', 'vault').logPages)),
    labelledAtMs: 0,
  }
  disk.drive(labelDisk(disk, facts, { force: false }, memory))
  const parts = { memory, clock: { now: () => 0, wall: () => 0 }, host: quiet }
  disk.drive(Image.format(parts, [[disk]], identities))
  memory.giveBackAll()
  return platter
}

/** What `pollux check` finds wrong with the newest generation on a platter. */
export function imageProblems(platter: Platter): string[] {
  const memory = new SimMemory(mappings)
  const disk = new PromptDisk(platter, memory)
  const report = disk.drive(check([disk], memory))
  memory.giveBackAll()
  return report.problems.map(({ text }) => `check: ${text}`)
}
