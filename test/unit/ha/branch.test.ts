import t from 'tap'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type { FoundPlex } from '../../../ts/ha/facts.ts'
import { alone, goodLog, keeperFacts, leaseOf, lostLog, Rig } from './rig.ts'

/**
 * Pollux has acknowledged changes alone, on its own disks, and is lost; castor has plex 0, which is stale.
 */
const lonely: OwnerRecord = {
  ...alone,
  owner: 'pollux',
  incarnations: { pollux: 'ring-p' },
  plex0: 'stale',
  plex1: 'in-sync',
  lease: leaseOf('pollux', 'boot-p'),
}

const older: FoundPlex = { plex: 0, epoch: 3, generation: 9, writtenAtMs: 0 }
const apart = { plexCount: 2, plexesHere: [0], plexesThere: [1] } as const
const both = { force: true, acceptDataLoss: true } as const

const rigOf = (record: Partial<OwnerRecord> = {}, log = goodLog): Rig =>
  new Rig({ ...lonely, ...record }, apart).start(log)

const errorOf = (rig: Rig, request: number): string => rig.answers.get(request)?.error?.message ?? ''

t.test('a stale plex is opened by both words of the operator, and by nothing less', async (t) => {
  const rig = rigOf()
  rig.takeover(1, { plexes: [older] })
  rig.takeover(2, { force: true, plexes: [older] })
  t.match(errorOf(rig, 1), /plex 0 on castor is stale/)
  t.match(errorOf(rig, 2), /plex 0 on castor is stale/)
  rig.takeover(3, { ...both, dryRun: true, plexes: [older] })
  const because = /go on from generation 9 of plex 0.*1970-01-01T00:00:00.000Z, and from its copy of the log/
  t.match(rig.answers.get(3)?.result, { possible: true, because })
  t.match(rig.arbiter.record, { version: 10 }, 'nothing has changed')
  rig.takeover(4, { ...both, plexes: [older] })
  t.same(rig.done.at(-1), 'open forced ring 5 from 9 of plex 0')
})

t.test('a claim leaves what the record says of plexes and log: the image is not open yet', async (t) => {
  const rig = rigOf()
  rig.takeover(1, { ...both, plexes: [older] })
  const { plex0, plex1, incarnations, log } = lonely
  t.match(rig.arbiter.record, { owner: 'castor', epoch: 5, plex0, plex1, incarnations, log })
  t.match(rig.arbiter.record?.forced, [{ node: 'castor', reason: 'castor burnt', branch: undefined }])
  rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'stale'])
  rig.ownership.tick(rig.nowMs)
  rig.settle()
  t.match(rig.arbiter.record, { plex0, plex1 }, 'whatever is said of the plexes before')
  rig.ownership.openFailed(rig.nowMs, new Error('it cannot be read'))
  rig.settle()
  t.match(rig.arbiter.record, { lease: null, plex0, plex1, incarnations })
  t.equal(rig.arbiter.record?.forced[0]?.branch, undefined)
})

t.test('when it is open, one swap says all: the plex, the log, and the branch', async (t) => {
  for (const [log, words] of [
    ['none', { log: 'stale', clean: true }],
    ['ring', { log: 'stale', clean: false, incarnations: { castor: 'ring-c' } }],
  ] as const) {
    const rig = rigOf()
    rig.takeover(1, { ...both, plexes: [older] })
    const { version } = rig.arbiter.record!
    t.equal(rig.ownership.isPlexStale(1), false)
    rig.ownership.branches(rig.nowMs, log)
    rig.ownership.tick(rig.nowMs)
    t.equal(rig.ownership.isPlexStale(1), false, 'not before the arbiter has said so')
    rig.settle('lost')
    rig.pass(100)
    t.match(rig.arbiter.record, { version: version + 1, plex0: 'in-sync', plex1: 'stale', ...words })
    if (log === 'none') t.same(rig.arbiter.record?.incarnations, {}, 'no ring belongs to it')
    t.same(rig.arbiter.record?.forced[0]?.branch, { epoch: 5, generation: 9, lost: 1 })
    t.equal(rig.ownership.isPlexStale(1), true)
    rig.ownership.opened(rig.nowMs)
    rig.settle()
    t.match(rig.ownership, { state: 'serving-solo' })
    t.match(rig.arbiter.record, { clean: false, incarnations: { castor: 'ring-c' } })
    rig.ownership.plexesAre(rig.nowMs, ['in-sync', 'in-sync'])
    rig.ownership.tick(rig.nowMs)
    rig.settle()
    t.same(rig.arbiter.record?.forced[0]?.branch, { epoch: 5, generation: 9 }, 'what was lost is no more')
  }
})

t.test('a ring is the log of an older image only if both are of one branch', async (t) => {
  const cases: [string, Partial<OwnerRecord>, typeof goodLog][] = [
    ['ring', {}, goodLog],
    ['none', {}, lostLog],
    ['none', {}, { ...goodLog, complete: false }],
    ['none', {}, { ...goodLog, epoch: 2 }],
    ['none', { forced: [{ at: '', node: 'pollux', reason: '' }] }, goodLog],
    [
      'none',
      { forced: [{ at: '', node: 'pollux', reason: '', branch: { epoch: 4, generation: 8 } }] },
      goodLog,
    ],
    [
      'ring',
      { forced: [{ at: '', node: 'pollux', reason: '', branch: { epoch: 3, generation: 8 } }] },
      goodLog,
    ],
  ]
  for (const [log, record, facts] of cases) {
    const rig = rigOf(record, facts)
    rig.takeover(1, { ...both, plexes: [older] })
    t.same(rig.done.at(-1), `open forced ${log} 5 from 9 of plex 0`)
  }
})

t.test('a plex in sync that may be reached goes first, and a lease that lives', async (t) => {
  const linked = rigOf()
  linked.ownership.linkUp(linked.nowMs, keeperFacts)
  linked.settle()
  linked.takeover(1, { ...both, plexes: [older] })
  t.notMatch(linked.done.join(), /of plex 0/, 'the plex of a keeper is opened over the link')
  const shared = new Rig(lonely, { plexCount: 2 }).start()
  shared.takeover(1, { ...both, plexes: [older, { plex: 1, epoch: 4, generation: 12, writtenAtMs: 0 }] })
  t.notMatch(shared.done.join(), /of plex 0/)
  const gone: FoundPlex = { plex: 1, lack: 'it is not there' }
  const helped = new Rig(lonely, { plexCount: 2 }).start()
  helped.ownership.linkUp(helped.nowMs, keeperFacts)
  helped.settle()
  helped.takeover(1, { ...both, plexes: [older, gone] })
  t.match(errorOf(helped, 1), /pollux is up and may reach the other one; if that is lost, stop pollux/)
  const lone = new Rig(lonely, { plexCount: 2 }).start()
  lone.takeover(1, { ...both, plexes: [older, gone] })
  t.match(lone.done.at(-1), /^open forced ring 5 from 9 of plex 0$/)
  const alive = new Rig(lonely, apart)
  alive.arbiter.isHolderGone = false
  alive.start().takeover(1, { ...both, plexes: [older] })
  t.match(errorOf(alive, 1), /the lease of pollux on a may be live/)
})

t.test('it is refused plainly without a whole image, or by a record with a mistake', async (t) => {
  const empty = rigOf()
  empty.takeover(1, { ...both, plexes: [{ plex: 0, lack: 'a resync was filling it' }] })
  t.match(errorOf(empty, 1), /plex 0 on castor is stale.*; plex 0: a resync was filling it/)
  const wrong = rigOf({ plex1: 'stale' })
  wrong.takeover(1, { ...both, plexes: [older] })
  t.match(errorOf(wrong, 1), /calls no plex of a in sync: restore/)
})

t.test('a ring that has what was given up is not voided by a takeover after a clean end', async (t) => {
  const branch = { epoch: 5, generation: 9, lost: 0 } as const
  const given = { at: '', node: 'pollux', reason: '', branch }
  const ended = { epoch: 6, clean: true, lease: null, incarnations: {}, forced: [given] }
  const shared = (record: Partial<OwnerRecord>, log = goodLog): Rig => {
    const rig = new Rig({ ...lonely, ...ended, ...record }, { plexCount: 2 }).start(log)
    rig.pass(2000)
    return rig
  }
  t.match(shared({}).ownership.reason, /has changes of the branch that was given up, as plex 0 has: label/)
  const died = shared({
    clean: false,
    incarnations: { pollux: 'ring-p' },
    lease: leaseOf('pollux', 'boot-p'),
  })
  died.takeover(1, { ...both, plexes: [{ plex: 1, epoch: 6, generation: 12, writtenAtMs: 0 }] })
  t.match(errorOf(died, 1), /has changes of the branch that was given up/, 'nor by one that is forced')
  const free = 'open takeover none 7'
  t.same(shared({}, lostLog).done.at(-1), free, 'there is nothing in it')
  t.same(shared({}, { ...goodLog, epoch: 6 }).done.at(-1), free, 'it is of the branch that counts')
  const { lost, ...over } = branch
  t.same(shared({ forced: [{ ...given, branch: over }] }).done.at(-1), free, `plex ${lost} is in sync again`)
  t.same(shared({ forced: [{ ...given, node: 'castor' }] }).done.at(-1), free, 'castor gave it up itself')
})
