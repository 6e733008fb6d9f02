import t from 'tap'
import { newestBranch, type OwnerRecord, ownerRecordMistake } from '../../../ts/format/owner-record.ts'

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

t.test('forced takeovers are read with a branch and, as earlier versions wrote them, without', async (t) => {
  const plain = { at: 'today', node: 'castor', reason: 'it burnt' }
  const [branch, older] = [
    { epoch: 7, generation: 3, lost: 1 },
    { epoch: 5, generation: 1 },
  ] as const
  const forced = [{ ...plain, branch: older }, { ...plain, branch }, plain]
  t.equal(ownerRecordMistake({ ...good, forced }), undefined)
  t.equal(newestBranch({ ...good, forced }), branch)
  t.equal(newestBranch({ ...good, forced: [plain] }), undefined)
  t.equal(newestBranch(undefined), undefined)
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
    [{ ...good, forced: [null] }, /^forced has something/],
    [{ ...good, forced: [{ branch: null }] }, /^forced.branch is not/],
    [{ ...good, forced: [{ branch: { epoch: -1, generation: 1 } }] }, /^forced.branch.epoch/],
    [{ ...good, forced: [{ branch: { epoch: 1 } }] }, /^forced.branch.generation/],
    [{ ...good, forced: [{ branch: { epoch: 1, generation: 1, lost: 2 } }] }, /^forced.branch.lost/],
    [{ ...good, lease: undefined }, /^lease is missing/],
    [{ ...good, lease: { ...good.lease, holder: 1 } }, /^lease has no holder/],
    [{ ...good, lease: { ...good.lease, counter: -1 } }, /^lease.counter/],
    [{ ...good, lease: { ...good.lease, durationMs: 0.5 } }, /^lease.durationMs/],
  ]
  for (const [record, mistake] of mistakes) t.match(ownerRecordMistake(record), mistake)
})
