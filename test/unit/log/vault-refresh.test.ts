import t from 'tap'
import { LogMarks, MARKS_AT } from '../../../ts/format/log-ring.ts'
import { Owner } from './vault-owner.ts'

/** What the marks in both places say, and the header, on a disk that had none of them. */
const refreshed = ({ zone }: Owner): { header: boolean; marks: object[] } => ({
  header: zone.stable.subarray(0, 128).some((byte) => byte !== 0),
  marks: MARKS_AT.map((at) => LogMarks.decode(zone.stable, at)),
})

/** The disk of the plex that comes back has nothing of what stood in the vault before. */
function forget({ zone, writer }: Owner): void {
  for (const bytes of [zone.bytes, zone.stable]) bytes.fill(0, 0, writer.ring.layout.descriptorsAt)
}

t.test('on a plex that has come back, header and marks are written again, in both places', async (t) => {
  const owner = new Owner()
  for (let i = 0; i < 3; i += 1) owner.writer.write(1)
  owner.commit()
  forget(owner)
  t.equal(owner.zone.finish(owner.vault.refresh()), 0)
  const { header, marks } = refreshed(owner)
  t.ok(header)
  t.match(marks, [
    { epoch: 5, complete: 1, acknowledged: 3 },
    { epoch: 5, complete: 1, acknowledged: 3 },
  ])
  t.match(owner.vault, { promised: 3, lacksOwed: false, isIdle: true })
  owner.writer.write(1)
  owner.commit()
  t.equal(owner.vault.promised, 4, 'and groups go on')
})

t.test('what the marks say stays as it is', async (t) => {
  const owner = new Owner()
  owner.vault.suspend()
  owner.zone.settle()
  forget(owner)
  t.equal(owner.zone.finish(owner.vault.refresh()), 0)
  t.match(refreshed(owner).marks, [{ complete: 2 }, { complete: 2 }])
  t.ok(owner.vault.isSuspended)
})

t.test('a vault that has rested on two memories stays suspended when nobody knows its marks', async (t) => {
  const owner = new Owner()
  const { vault, zone, writer } = owner
  vault.suspend()
  zone.settle()
  writer.write(1)
  vault.owe(1)
  owner.commit()
  zone.fail = { kind: 'flush', result: -5 }
  owner.commit()
  t.match(vault, { isSuspended: false, lacksOwed: true }, 'the marks that say complete were not flushed')
  t.equal(zone.finish(vault.refresh()), 0)
  t.match(refreshed(owner).marks, [{ complete: 2 }, { complete: 2 }], 'no older vault counts again')
})

t.test('a group that is under way ends first, and none begins meanwhile', async (t) => {
  const owner = new Owner()
  const { vault, writer, zone } = owner
  writer.write(1)
  vault.start()
  const refresh = vault.refresh()
  refresh.next()
  t.notOk(zone.log.includes('write 0 4096'))
  zone.settle()
  t.equal(vault.durable, 1)
  refresh.next()
  t.notOk(vault.isIdle)
  t.equal(vault.pinnedFrom, Number.MAX_SAFE_INTEGER, 'no entry is kept for it')
  writer.write(1)
  vault.start()
  vault.suspend()
  zone.finish(refresh)
  t.match(vault, { durable: 1, isIdle: true })
  owner.commit()
  t.equal(vault.durable, 2)
})

for (const kind of ['write', 'flush'] as const) {
  t.test(`when a ${kind} of it fails, nobody knows what the marks say`, async (t) => {
    const owner = new Owner()
    const { vault, writer, zone } = owner
    writer.write(1)
    owner.commit()
    zone.fail = { kind, result: -5 }
    t.equal(zone.finish(vault.refresh()), -5)
    t.match(vault, { isIdle: true, lacksOwed: true, promised: 0 })
    owner.commit()
    t.match(vault, { lacksOwed: false, promised: 1 }, 'the next group says it')
  })
}

t.test(
  'what was complete stays so when a refresh fails, and the next one comes before any group',
  async (t) => {
    const owner = new Owner()
    const { vault, writer, zone } = owner
    writer.write(1)
    owner.commit()
    zone.fail = { kind: 'flush', result: -5 }
    t.equal(zone.finish(vault.refresh()), -5)
    t.equal(zone.finish(vault.refresh()), 0)
    t.match(refreshed(owner).marks, [{ complete: 1 }, { complete: 1 }], 'no recovery passes over it')
    t.match(vault, { promised: 1, lacksOwed: false })
  },
)
