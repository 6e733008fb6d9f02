import fc from 'fast-check'
import t from 'tap'
import type { Procedure } from '../../ts/base/procedure.ts'
import { Marks } from '../../ts/log/marks.ts'
import { LogRing } from '../../ts/log/ring.ts'
import { finish } from '../support/finish.ts'
import { recover } from '../support/recover.ts'
import { MemoryTwin } from '../unit/log/memory-twin.ts'
import { wrong } from '../unit/log/rings.ts'
import { Owner } from '../unit/log/vault-owner.ts'
import { runs } from './runs.ts'

/** What happens in a turn; the numbers are spread over what there is at that moment. */
const turn = fc.oneof(
  { weight: 6, arbitrary: fc.record({ write: fc.oneof(fc.nat(64), fc.nat(3)) }) },
  { weight: 9, arbitrary: fc.record({ end: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ fail: fc.constantFrom('write' as const, 'flush' as const) }) },
  { weight: 2, arbitrary: fc.record({ contain: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ flips: fc.constantFrom('rests' as const, 'holds' as const) }) },
  { weight: 1, arbitrary: fc.record({ refreshes: fc.constant(true) }) },
  { weight: 3, arbitrary: fc.record({ losesPower: fc.nat() }) },
)
type Turn = typeof turn extends fc.Arbitrary<infer T> ? T : never

/** An owner as `engine/owner.ts` is one to its vault, and all that it has promised. */
class Promising extends Owner {
  /** promises rest on the memory of two nodes, as soon as the vault says so */
  rests = false
  /** nothing is begun, as by an owner that is about to part from its partner */
  holds = false
  contained = 0
  /** the last entry that the vault has ever promised, and that anybody has */
  promised = 0
  promisedByAny = 0
  pairs = 0
  losses = 0
  readonly #refreshes: Procedure<number>[] = []

  take(turn: Turn): void {
    const { zone, writer, vault } = this
    if ('write' in turn) writer.write(turn.write)
    if ('end' in turn) zone.step(turn.end % Math.max(1, zone.waiting))
    if ('fail' in turn) zone.fail = { kind: turn.fail, result: -5 }
    if ('contain' in turn) this.#contain(turn.contain % (writer.ring.head - this.contained))
    if ('flips' in turn) this[turn.flips] = !this[turn.flips]
    if ('refreshes' in turn && this.#refreshes.length === 0) this.#refreshes.push(vault.refresh())
    if ('losesPower' in turn) this.mustRecover(turn.losesPower)
    this.maintain()
  }

  #contain(more: number): void {
    this.contained += more
    this.vault.contained(this.contained)
  }

  maintain(): void {
    const { vault, writer, zone } = this
    const { ring } = writer
    if (this.rests && vault.isSuspended) {
      vault.owe(ring.head - 1)
      this.promisedByAny = ring.head - 1
    } else this.promised = Math.max(this.promised, vault.promised)
    this.promisedByAny = Math.max(this.promisedByAny, this.promised)
    if (this.#refreshes[0]?.next().done) this.#refreshes.pop()
    const free = Math.min(this.contained, vault.pinnedFrom - 1)
    if (free >= ring.tail) ring.release(free)
    if (!this.holds) {
      if (this.rests) vault.suspend()
      else vault.start()
    }
    if (zone.kinds.includes('flush') && zone.kinds.includes('write')) this.pairs += 1
  }

  /** Everything ends well, and all that was asked for is promised. */
  settle(): void {
    this.rests = false
    this.holds = false
    this.zone.fail = undefined
    for (let turns = 0; turns < 500; turns += 1) {
      this.zone.step()
      this.maintain()
    }
    if (!this.vault.isIdle || this.vault.promised < this.writer.ring.head - 1) throw new Error('it is stuck')
  }

  /** Only the disk is left, with some of what was on its way to it. */
  mustRecover(salt: number): void {
    this.losses += 1
    const { zone, writer, vault } = this
    const keeps = (index: number, sector: number): boolean =>
      salt % 3 === 0 || (Math.imul(index * 131 + sector + salt, 0x9e3779b1) >>> 29) % 4 < salt % 4
    const memory = new MemoryTwin()
    const found = memory.allocate(zone.byteLength)
    found.bytes.set(zone.afterPowerLoss(keeps).bytes)
    const marks = new Marks(found)
    const values = marks.load()
    if (values === undefined) throw new Error('no marks are left')
    if (values.acknowledged > vault.durable) throw new Error(`the marks claim ${values.acknowledged}`)
    if (!values.complete) {
      const isBroken = marks.isSuspended ? vault.promised > this.contained : this.promised > this.contained
      if (isBroken) throw new Error('a vault that has promised is passed over')
      return
    }
    const ring = new LogRing(found, writer.ring.layout)
    finish(
      recover(ring, memory, { contained: this.contained, imageEpoch: 5, allowedEpoch: 5, marks: values }),
    )
    if (ring.head <= this.promisedByAny)
      throw new Error(`${ring.head} to ${this.promisedByAny} were promised`)
    const differing = wrong(ring, writer.ring, Math.max(ring.tail, writer.ring.tail))
    if (differing.length > 0) throw new Error(`entries ${differing.join(', ')} differ`)
  }
}

t.test('what a vault has promised is there after a loss of power at any moment', async (t) => {
  let pairs = 0
  let losses = 0
  const property = fc.property(fc.array(turn, { minLength: 50, maxLength: 300, size: 'max' }), (turns) => {
    const owner = new Promising()
    for (const one of turns) owner.take(one)
    owner.settle()
    owner.mustRecover(0)
    pairs += owner.pairs
    losses += owner.losses
  })
  // cases are long, and making one shorter takes minutes: the seed is enough
  fc.assert(property, { ...runs(100), endOnFailure: true })
  t.ok(pairs > 100, `${pairs} times a group was written while another one was flushed`)
  t.ok(losses > 500, `power was lost ${losses} times`)
})
