import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { LogEntry, LogMarks, MARKS_AT } from '../../../ts/format/log-ring.ts'
import { Marks } from '../../../ts/log/marks.ts'
import { LogRing } from '../../../ts/log/ring.ts'
import { Vault } from '../../../ts/log/vault.ts'
import { loadVault } from '../../../ts/log/vault-halves.ts'
import { finish } from '../../support/finish.ts'
import { recover } from '../../support/recover.ts'
import { MemoryTwin } from './memory-twin.ts'
import { ringOf, wrong } from './rings.ts'
import { Owner } from './vault-owner.ts'
import { ZoneTwin } from './zone-twin.ts'

/** What another node finds that has only the zone. */
function recovered(zone: ZoneTwin, contained = 0): LogRing {
  const memory = new MemoryTwin()
  const { layout } = ringOf()
  const target = memory.allocate(layout.byteLength)
  const twin = new ZoneTwin(memory, zone.byteLength)
  twin.bytes.set(zone.bytes)
  twin.finish(loadVault(twin, target, layout))
  const ring = new LogRing(target, layout)
  finish(
    recover(ring, memory, { contained, imageEpoch: 5, allowedEpoch: 5, marks: new Marks(target).load() }),
  )
  return ring
}

t.test('entries are durable when their group was written and flushed, not before', async (t) => {
  const { vault, writer, zone } = new Owner()
  vault.start()
  t.equal(zone.waiting, 0, 'there is nothing to write')
  writer.write(2)
  writer.write(0)
  vault.start()
  t.same([vault.durable, vault.pinnedFrom, vault.isIdle], [0, 1, false])
  while (zone.waiting > 1) zone.step()
  zone.step()
  t.equal(zone.log.at(-1), 'flush')
  t.equal(vault.durable, 0)
  zone.step()
  t.same([vault.durable, vault.isIdle, vault.groupsWritten], [2, true, 1])
  t.equal(vault.pinnedFrom, Number.MAX_SAFE_INTEGER)
})

t.test('what comes while a group is under way goes out together in the next one', async (t) => {
  const { vault, writer, zone } = new Owner()
  writer.write(1)
  vault.start()
  for (let i = 0; i < 10; i += 1) writer.write(1)
  vault.start()
  zone.settle()
  t.equal(vault.durable, 1)
  vault.start()
  zone.settle()
  t.same([vault.durable, vault.groupsWritten], [11, 2])
  t.equal(zone.log.filter((line) => line === 'flush').length, 2)
  vault.start()
  t.equal(zone.waiting, 0)
})

t.test('the vault gives the same entries back', async (t) => {
  const owner = new Owner()
  for (const pages of [3, 0, 64, 1]) owner.writer.write(pages)
  owner.commit()
  const ring = recovered(owner.zone)
  t.same([ring.tail, ring.head], [1, 5])
  t.same(wrong(ring, owner.writer.ring), [])
})

t.test('the vault goes round with the ring', async (t) => {
  const owner = new Owner()
  const { ring } = owner.writer
  for (let round = 0; round < 60; round += 1) {
    for (const pages of [1, 17, 0, 5]) if (owner.writer.write(pages) === undefined) throw new Error('no room')
    owner.commit()
    const found = recovered(owner.zone, ring.tail - 1)
    if (found.head !== ring.head || wrong(found, ring).length > 0) t.fail(`round ${round} differs`)
    if (ring.fill > 0.4) owner.release(ring.head - 6)
  }
  t.ok(ring.head > 2 * 100, 'more than a round')
  t.equal(owner.vault.durable, ring.head - 1)
})

t.test('a group may have all pages of the ring', async (t) => {
  const owner = new Owner()
  const { ring } = owner.writer
  for (let entry = 0; entry < 3; entry += 1) owner.writer.write(64)
  for (const released of [1, 2]) {
    ring.release(released)
    owner.writer.write(64)
  }
  // a recovery from the superblock before needs what was released last
  ring.retain(2, 6)
  owner.vault.contained(1)
  owner.commit()
  const found = recovered(owner.zone, 1)
  t.same([found.head, wrong(found, ring)], [6, []])
})

t.test('what the disks contain is not written to the vault any more', async (t) => {
  const { vault, writer, zone } = new Owner()
  for (let i = 0; i < 5; i += 1) writer.write(1)
  vault.contained(5)
  vault.start()
  t.same([vault.durable, zone.waiting], [5, 0])
  vault.contained(2)
  t.equal(vault.durable, 5)
})

for (const kind of ['write', 'flush'] as const) {
  t.test(`a ${kind} that fails makes nothing durable, and the group is written again`, async (t) => {
    const owner = new Owner()
    owner.writer.write(1)
    owner.zone.fail = { kind, result: -5 }
    owner.commit()
    t.match(owner.vault, { durable: 0, failures: 1, isIdle: true, groupsWritten: 0 })
    t.equal(owner.vault.pinnedFrom, Number.MAX_SAFE_INTEGER)
    owner.commit()
    t.match(owner.vault, { durable: 1, failures: 1, groupsWritten: 1 })
    t.equal(recovered(owner.zone).head, 2)
  })
}

t.test('the marks in the vault say what an earlier group made durable', async (t) => {
  const owner = new Owner()
  for (let group = 0; group < 5; group += 1) {
    owner.writer.write(1)
    owner.commit()
    const memory = new MemoryTwin().allocate(owner.zone.byteLength)
    memory.bytes.set(owner.zone.bytes)
    t.match(new Marks(memory).load(), { epoch: 5, complete: true, base: 1, acknowledged: group })
    const places = MARKS_AT.map((at) => LogMarks.decode(memory.bytes, at).acknowledged)
    t.same(places.sort(), [Math.max(0, group - 1), group], 'and the ones before are still there')
  }
})

t.test('the marks of a new owner count more than those of the epoch before', async (t) => {
  const owner = new Owner()
  for (let group = 0; group < 5; group += 1) {
    owner.writer.write(1)
    owner.commit()
  }
  owner.marks.begin(6, 1, true, 5)
  owner.writer.epoch = 6
  owner.writer.write(1)
  const vault = new Vault(owner.writer.ring, owner.marks, owner.zone, owner.memory.allocate(4096), 0)
  owner.zone.finish(vault.stamp(6))
  vault.start()
  owner.zone.settle()
  const memory = new MemoryTwin().allocate(owner.zone.byteLength)
  memory.bytes.set(owner.zone.bytes)
  t.match(new Marks(memory).load(), { epoch: 6 })
})

t.test(
  'the first entry of an epoch is stamped into the vault, with header, marks and the page around it',
  async (t) => {
    const { vault, writer, zone } = new Owner()
    for (let i = 0; i < 70; i += 1) writer.write(0)
    zone.finish(vault.stamp(70))
    const at = writer.ring.layout.descriptorsAt + 70 * LogEntry.byteLength
    t.same(zone.stable.subarray(at, at + 64), writer.ring.descriptorBytes(70))
    t.same(zone.stable.subarray(0, 128), writer.ring.memory.bytes.subarray(0, 128))
    const writes = [0, at - (at % 4096), MARKS_AT[0]].map((from) => `write ${from} 4096`)
    t.same(zone.log, [...writes, 'flush'])
    zone.fail = { kind: 'flush', result: -28 }
    try {
      zone.finish(vault.stamp(70))
      t.fail('a failure was not noticed')
    } catch (error) {
      t.ok(isStoreError(error, 'DISK_FAILED'))
    }
  },
)

t.test('a vault that cannot be read is an error', async (t) => {
  const { memory, zone, writer } = new Owner()
  zone.fail = { kind: 'read', result: -5 }
  const target = memory.allocate(zone.byteLength)
  t.throws(() => zone.finish(loadVault(zone, target, writer.ring.layout)), { code: 'DISK_FAILED' })
})

t.test('the marks come back last, and the header not at all', async (t) => {
  const owner = new Owner()
  owner.writer.write(3)
  owner.commit()
  const target = owner.memory.allocate(owner.zone.byteLength)
  const loading = loadVault(owner.zone, target, owner.writer.ring.layout)
  const isThere = (at: number) => target.bytes.subarray(at, at + 64).some((byte) => byte !== 0)
  for (;;) {
    if (loading.next().done === true) break
    owner.zone.step()
    if (MARKS_AT.some(isThere)) {
      const behind = owner.writer.ring.layout.descriptorsAt
      t.same(target.bytes.subarray(behind), owner.zone.bytes.subarray(behind), 'all else is there')
    }
  }
  t.notOk(isThere(0), 'whose ring it is, and which, it knows better')
  t.same(LogMarks.decode(target.bytes, MARKS_AT[0]), LogMarks.decode(owner.zone.bytes, MARKS_AT[0]))
})

t.test(
  'after a loss of power at any moment, whatever was durable is there and nothing is wrong',
  async (t) => {
    let moments = 0
    const problems: string[] = []
    const check = (owner: Owner, where: string): void => {
      const { ring } = owner.writer
      for (const [name, keeps] of Object.entries(losses)) {
        moments += 1
        try {
          const found = recovered(owner.zone.afterPowerLoss(keeps), ring.tail - 1)
          if (found.head <= owner.vault.durable) problems.push(`${where}, ${name}: durable entries are lost`)
          if (wrong(found, ring).length > 0) problems.push(`${where}, ${name}: wrong data`)
        } catch (error) {
          problems.push(`${where}, ${name}: ${String(error)}`)
        }
      }
    }
    const losses = {
      none: () => false,
      all: () => true,
      even: (index: number) => index % 2 === 0,
      odd: (index: number) => index % 2 === 1,
      last: (index: number) => index > 2,
    }
    const owner = new Owner()
    for (let group = 0; group < 18; group += 1) {
      for (const pages of [2, 0, group % 40]) owner.writer.write(pages)
      owner.vault.start()
      while (owner.zone.step()) check(owner, `group ${group}`)
      if (owner.writer.ring.fill > 0.5) owner.release(owner.vault.durable - 4)
    }
    const busy = new Owner()
    for (let step = 0; step < 150; step += 1) {
      if (busy.writer.ring.fill > 0.4) busy.release(busy.vault.durable)
      busy.writer.write(step % 7)
      busy.vault.start()
      busy.zone.step(step % 5 === 0 ? busy.zone.waiting - 1 : 0)
      check(busy, `step ${step}, one group after the other`)
    }
    t.ok(busy.vault.groupsWritten > 20, `${busy.vault.groupsWritten} groups`)
    t.same(problems.slice(0, 5), [])
    t.ok(owner.writer.ring.head > 50 && moments > 300, `${moments} moments`)
  },
)

/** What a recovery without any ring would read in the marks. */
const isComplete = (zone: ZoneTwin): boolean | undefined => {
  const memory = new MemoryTwin().allocate(zone.byteLength)
  memory.bytes.set(zone.bytes)
  return new Marks(memory).load()?.complete
}

t.test('a vault promises nothing before it has all that was promised without it', async (t) => {
  const owner = new Owner()
  const { vault, writer, zone } = owner
  vault.suspend()
  zone.settle()
  t.equal(isComplete(zone), false)
  t.ok(vault.isSuspended, 'promises rest on the memory of two nodes')
  for (let i = 0; i < 6; i += 1) writer.write(30)
  vault.owe(6)
  for (let group = 0; vault.durable < 6; group += 1) {
    owner.commit()
    t.match(vault, { promised: 0, isSuspended: true, lacksOwed: true }, `group ${group}`)
    t.equal(isComplete(zone.afterPowerLoss(() => true)), false)
  }
  vault.start()
  t.equal(vault.isSuspended, false, 'marks that are being written may be there already')
  while (zone.waiting > 1) zone.step()
  t.equal(vault.promised, 0, 'nor before it says so durably')
  zone.settle()
  t.match(vault, { promised: 6, lacksOwed: false })
  t.equal(isComplete(zone.afterPowerLoss(() => false)), true)
})

t.test('what a consistency point contains is promised, whatever the vault has', async (t) => {
  const { vault, writer, zone } = new Owner()
  vault.suspend()
  zone.settle()
  for (let i = 0; i < 4; i += 1) writer.write(1)
  vault.owe(4)
  vault.contained(3)
  t.match(vault, { promised: 3, lacksOwed: true })
})

t.test(
  'when the marks cannot be written, nobody knows what they say, and nothing rests on them',
  async (t) => {
    const owner = new Owner()
    const { vault, zone } = owner
    zone.fail = { kind: 'flush', result: -5 }
    vault.suspend()
    zone.settle()
    t.match(vault, { isSuspended: false, promised: 0, failures: 1 })
    vault.suspend()
    zone.settle()
    t.match(vault, { isSuspended: true, promised: 0 })
  },
)
