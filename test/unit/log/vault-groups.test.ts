import t from 'tap'
import { MARKS_AT } from '../../../ts/format/log-ring.ts'
import { Owner } from './vault-owner.ts'

/** One group is being flushed, and another one has been begun meanwhile. */
function twoGroups(): Owner {
  const owner = new Owner()
  owner.writer.write(2)
  owner.flushing()
  owner.writer.write(2)
  owner.writer.write(1)
  owner.vault.start()
  return owner
}

const marksWritten = ({ zone }: Owner): number =>
  zone.log.filter((line) => MARKS_AT.some((at) => line === `write ${at} 4096`)).length

t.test('a group is written while the one before is flushed', async (t) => {
  const { vault, zone, writer } = twoGroups()
  t.same(new Set(zone.kinds), new Set(['flush', 'write']))
  t.match(vault, { durable: 0, begun: 3, pinnedFrom: 1, isIdle: false })
  const { waiting } = zone
  writer.write(1)
  vault.start()
  t.equal(zone.waiting, waiting, 'and no third one')
  zone.step()
  t.match(vault, { durable: 1, begun: 3, pinnedFrom: 2, isIdle: false, groupsWritten: 1 })
  zone.settle()
  t.match(vault, { durable: 3, begun: 3, isIdle: true, groupsWritten: 2 })
})

t.test('none is begun while another one is being written: both may have the same page', async (t) => {
  const { vault, writer, zone } = new Owner()
  writer.write(1)
  vault.start()
  while (zone.kinds.includes('write')) {
    const { waiting } = zone
    writer.write(1)
    vault.start()
    t.equal(zone.waiting, waiting)
    zone.step()
  }
})

t.test('a group that has been written is flushed when the one before has been', async (t) => {
  const owner = twoGroups()
  const { vault, zone, writer } = owner
  owner.flushing()
  t.same(zone.kinds, ['flush'], 'a flush beside another one might take its failure')
  writer.write(1)
  vault.start()
  t.equal(zone.waiting, 1, 'two groups are as many as there can be')
  zone.step()
  t.match(vault, { durable: 1, promised: 1, isIdle: false, pinnedFrom: 2 })
  t.same(zone.kinds, ['flush'])
  vault.start()
  t.ok(zone.waiting > 1)
  zone.settle()
  t.match(vault, { durable: 4, promised: 4, isIdle: true })
})

t.test('a group fails with the one before', async (t) => {
  for (const isWritten of [true, false]) {
    const owner = twoGroups()
    const { vault, zone } = owner
    if (isWritten) owner.flushing()
    zone.fail = { kind: 'flush', result: -5 }
    zone.step(zone.kinds.indexOf('flush'))
    zone.settle()
    t.equal(zone.log.filter((line) => line === 'flush').length, 1, 'it is not flushed any more')
    t.match(vault, { durable: 0, promised: 0, isIdle: true, failures: 2, begun: 0 })
    owner.commit()
    t.match(vault, { durable: 3, failures: 2 }, 'both are written again')
  }
})

t.test('a group whose write fails does not take the one before with it', async (t) => {
  const owner = twoGroups()
  const { vault, zone } = owner
  zone.fail = { kind: 'write', result: -5 }
  while (zone.kinds.includes('write')) zone.step(zone.kinds.indexOf('write'))
  t.match(vault, { durable: 0, failures: 0 })
  zone.settle()
  t.match(vault, { durable: 1, failures: 1, isIdle: true })
  owner.commit()
  t.equal(vault.durable, 3)
})

t.test('marks are not written over the last good ones while others are under way', async (t) => {
  const owner = twoGroups()
  t.equal(marksWritten(owner), 1)
  owner.zone.step()
  owner.zone.settle()
  t.equal(marksWritten(owner), 1)
  owner.writer.write(1)
  owner.commit()
  t.equal(marksWritten(owner), 2, 'the next group has them again')
})

t.test('marks that say something new wait until nothing is under way', async (t) => {
  const { vault, zone } = twoGroups()
  vault.suspend()
  zone.step()
  vault.suspend()
  t.notOk(vault.isSuspended)
  zone.settle()
  t.notOk(vault.isSuspended)
  vault.suspend()
  zone.settle()
  t.ok(vault.isSuspended)
})

t.test('what is owed and not there yet is no reason for a second group', async (t) => {
  const { vault, zone, writer } = twoGroups()
  writer.write(1)
  vault.owe(4)
  zone.step()
  while (zone.kinds.includes('write')) zone.step()
  vault.start()
  t.same(zone.kinds, ['flush'], 'the marks have to say first that it is not complete')
  zone.settle()
  vault.start()
  zone.settle()
  t.match(vault, { durable: 4, lacksOwed: true, promised: 0 })
})

t.test('a plex that comes back is not kept waiting by one group after the other', async (t) => {
  const { vault, zone, writer } = twoGroups()
  const refresh = vault.refresh()
  refresh.next()
  zone.step()
  writer.write(1)
  while (zone.kinds.includes('write')) zone.step()
  vault.start()
  t.same(zone.kinds, ['flush'])
  zone.settle()
  t.equal(zone.finish(refresh), 0)
  t.ok(vault.isIdle)
  vault.start()
  zone.settle()
  t.equal(vault.durable, 4)
})
