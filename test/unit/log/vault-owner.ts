import { writeHeader } from '../../../ts/log/copy.ts'
import { Marks } from '../../../ts/log/marks.ts'
import { Vault } from '../../../ts/log/vault.ts'
import { MemoryTwin } from './memory-twin.ts'
import { ringOf, Writer } from './rings.ts'
import { ZoneTwin } from './zone-twin.ts'

const identity = (byte: number) => new Uint8Array(16).fill(byte)
const whose = { pair: identity(1), aggregate: identity(2), node: identity(3) }

/** A log of epoch 5, and the vault that it is written to. */
export class Owner {
  readonly memory = new MemoryTwin()
  readonly writer = new Writer(ringOf(this.memory), this.memory, 5)
  readonly marks = new Marks(this.writer.ring.memory)
  readonly zone: ZoneTwin
  readonly vault: Vault

  constructor() {
    const { ring } = this.writer
    this.zone = new ZoneTwin(this.memory, ring.layout.byteLength)
    this.marks.begin(5, 1, true)
    writeHeader(ring.memory, ring.layout, whose, identity(4))
    this.vault = new Vault(ring, this.marks, this.zone, this.memory.allocate(4096), 0)
    this.zone.finish(this.vault.stamp(1))
    this.commit()
    this.zone.log.length = 0
  }

  commit(): void {
    this.vault.start()
    this.zone.settle()
  }

  /** Begins a group with all that there is, and ends its writes: its flush is under way. */
  flushing(): void {
    this.vault.start()
    while (this.zone.kinds.includes('write')) this.zone.step(this.zone.kinds.indexOf('write'))
  }

  release(sequence: number): void {
    this.vault.contained(sequence)
    this.writer.ring.release(sequence)
  }
}
