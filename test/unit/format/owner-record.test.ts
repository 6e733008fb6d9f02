import t from 'tap'
import { type OwnerRecord, ownerRecordMistake } from '../../../ts/format/owner-record.ts'

const good: OwnerRecord = {
  version: 3,
  aggregate: 'a',
  owner: 'castor',
  epoch: 2,
  log: 'in-sync',
  incarnations: { castor: 'x', pollux: 'y' },
  plex0: 'in-sync',
  plex1: 'absent',
  lease: { holder: 'castor', boot: 'b', durationMs: 3000, counter: 9 },
  clean: false,
  forced: [],
}

t.test('a good record has no mistake, with a lease and without', async (t) => {
  t.equal(ownerRecordMistake(good), undefined)
  t.equal(ownerRecordMistake({ ...good, lease: null, plex1: 'stale', log: 'stale' }), undefined)
})

t.test('every mistake is named', async (t) => {
  const mistakes: [unknown, RegExp][] = [
    [undefined, /not an object/],
    [null, /not an object/],
    ['text', /not an object/],
    [{ ...good, version: 1.5 }, /^version/],
    [{ ...good, version: -1 }, /^version/],
    [{ ...good, aggregate: 1 }, /^aggregate/],
    [{ ...good, owner: undefined }, /^owner/],
    [{ ...good, epoch: '2' }, /^epoch/],
    [{ ...good, log: 'maybe' }, /^log/],
    [{ ...good, incarnations: null }, /^incarnations/],
    [{ ...good, plex0: 'absent' }, /^plex0/],
    [{ ...good, plex1: undefined }, /^plex1/],
    [{ ...good, clean: 1 }, /^clean/],
    [{ ...good, forced: {} }, /^forced/],
    [{ ...good, lease: undefined }, /^lease is missing/],
    [{ ...good, lease: { ...good.lease, holder: 1 } }, /^lease has no holder/],
    [{ ...good, lease: { ...good.lease, counter: -1 } }, /^lease.counter/],
    [{ ...good, lease: { ...good.lease, durationMs: 0.5 } }, /^lease.durationMs/],
  ]
  for (const [record, mistake] of mistakes) t.match(ownerRecordMistake(record), mistake)
})
