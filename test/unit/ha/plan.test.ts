import t from 'tap'
import type { LogFacts, PartnerFacts } from '../../../ts/ha/facts.ts'
import { planAsKeeper, planAsOwner, planForced, type View } from '../../../ts/ha/plan.ts'
import { alone, goodLog, keeperFacts, lostLog, mirrored } from './rig.ts'

const damaged: LogFacts = { ...goodLog, usable: false, damage: 'entry 9 does not check' }
const withVault = (log: LogFacts): LogFacts => ({ ...log, vaultPossible: true, vaultCovers: 'always' })
const clean = { ...alone, clean: true, lease: null }
const givenToPollux = { ...mirrored, owner: 'pollux' }

const view = (
  record: View['record'],
  log: LogFacts,
  partnerFacts?: PartnerFacts,
  diskEpoch: View['diskEpoch'] = 0,
): View => ({
  node: 'castor',
  partner: 'pollux',
  record,
  log,
  diskEpoch,
  plexCount: 2,
  plexes: [0, 1],
  partnerFacts,
})

t.test('an owner restarts from its own ring, whatever the record calls in sync', async (t) => {
  t.same(planAsOwner(view(mirrored, goodLog)), { log: 'ring' })
  t.same(planAsOwner(view(alone, goodLog)), { log: 'ring' })
  t.same(planAsOwner(view({ ...alone, epoch: 6 }, goodLog)), { log: 'ring' }, 'claimed, but not opened yet')
})

t.test('after a clean end no log is missed', async (t) => {
  t.same(planAsOwner(view(clean, lostLog)), { log: 'none' })
  t.same(planAsOwner(view(clean, damaged)), { log: 'none' })
  t.same(planAsKeeper(view({ ...clean, owner: 'pollux', incarnations: {} }, lostLog)), { log: 'none' })
})

t.test('an owner that was alone and lost its log has the vault, or says that it is lost', async (t) => {
  t.same(planAsOwner(view(alone, withVault(lostLog))), { log: 'vault' })
  t.same(planAsOwner(view(alone, withVault(damaged))), { log: 'vault' }, 'its header is damaged')
  t.match(planAsOwner(view(alone, lostLog)), { obstacle: /has lost its log.*no other copy.*--force/ })
  t.match(planAsOwner(view(alone, damaged)), { obstacle: /entry 9 does not check/ })
})

t.test('a rotten entry of the only log left is for the operator, vault or not', async (t) => {
  const rotten = { ...withVault(damaged), hasDamagedEntry: true }
  t.match(planAsOwner(view(alone, rotten)), { obstacle: /entry 9 does not check.*--force/ })
  t.same(planForced(view(alone, rotten)), 'vault')
})

t.test(
  'memory of two nodes, lost on both, is for the operator; what one did alone is in the vault',
  async (t) => {
    const inPair = { ...lostLog, vaultPossible: true, vaultCovers: 'alone' } as const
    const lost = { ...keeperFacts, logState: 0 } as const
    t.match(planAsOwner(view(mirrored, inPair, lost)), {
      obstacle: /no other copy of the log is left.*--force/,
    })
    t.same(planForced(view(mirrored, inPair, lost)), 'vault')
    t.same(planAsOwner(view(alone, inPair)), { log: 'vault' })
  },
)

t.test(
  'a mirrored owner that lost its log does not serve from the disks while its partner has it',
  async (t) => {
    t.match(planAsOwner(view(mirrored, withVault(lostLog))), {
      obstacle: /pollux should have it: start pollux/,
    })
    t.match(planAsOwner(view(mirrored, withVault(lostLog), keeperFacts)), {
      obstacle: /pollux has it and takes/,
    })
    const lost = { ...keeperFacts, logState: 0 } as const
    t.same(planAsOwner(view(mirrored, withVault(lostLog), lost)), { log: 'vault' }, 'both lost it')
    const anew = { ...keeperFacts, incarnation: 'ring-other' }
    t.same(
      planAsOwner(view(mirrored, withVault(lostLog), anew)),
      { log: 'vault' },
      'the partner has a new ring',
    )
    t.match(planAsOwner(view(mirrored, lostLog, lost)), { obstacle: /no other copy of the log is left/ })
  },
)

t.test('the vault of a pair has what its owner did alone, and not what rested on two memories', async (t) => {
  const lost: LogFacts = { ...lostLog, vaultPossible: true, vaultCovers: 'alone' }
  const partnerLost = { ...keeperFacts, logState: 0 } as const
  t.same(planAsOwner(view(alone, lost)), { log: 'vault' })
  t.match(planAsOwner(view(mirrored, lost, partnerLost)), {
    obstacle: /no other copy of the log is left.*--force/,
  })
  t.match(planAsOwner(view(alone, { ...lost, vaultCovers: 'never' })), { obstacle: /no other copy/ })
  t.equal(planForced(view(mirrored, lost, partnerLost)), 'vault', 'an operator may have what is there')
})

t.test('disks that are ahead of the record show that the arbiter was set back', async (t) => {
  const past = { obstacle: /the disks are of epoch 9, the arbiter's record only of 4.*restore/ }
  t.match(planAsOwner(view(mirrored, goodLog, undefined, 9)), past)
  t.match(planAsOwner(view(clean, lostLog, undefined, 9)), past)
  t.match(planAsKeeper(view(givenToPollux, goodLog, undefined, 9)), past)
  t.same(planAsOwner(view(mirrored, goodLog, undefined, 4)), { log: 'ring' })
  t.same(planAsOwner(view(mirrored, goodLog, undefined, 'the disk is missing')), { log: 'ring' })
})

t.test('a record that calls no plex in sync stops everything: no owner has written it', async (t) => {
  const none = { obstacle: /calls no plex of a in sync: restore the arbiter's data/ }
  t.match(planAsOwner(view({ ...mirrored, plex0: 'stale' }, goodLog)), none)
  t.match(planAsOwner(view({ ...clean, plex0: 'stale', plex1: 'stale' }, goodLog)), none)
  t.match(planAsKeeper(view({ ...givenToPollux, plex0: 'stale' }, goodLog)), none)
  t.same(planAsOwner(view({ ...mirrored, plex0: 'stale', plex1: 'in-sync' }, goodLog)), { log: 'ring' })
})

t.test('a keeper takes over only with a log that the record lists, whole and complete', async (t) => {
  t.same(planAsKeeper(view(givenToPollux, goodLog)), { log: 'ring' })
  t.match(planAsKeeper(view(givenToPollux, lostLog)), { obstacle: /castor has lost its log/ })
  t.match(planAsKeeper(view(givenToPollux, damaged)), { obstacle: /entry 9 does not check/ })
  t.match(planAsKeeper(view(givenToPollux, { ...goodLog, complete: false })), {
    obstacle: /still being filled/,
  })
  t.match(planAsKeeper(view(givenToPollux, { ...goodLog, incarnation: 'ring-x' })), {
    obstacle: /does not list/,
  })
  const stale = { ...alone, owner: 'pollux', incarnations: { pollux: 'ring-p' } }
  t.match(planAsKeeper(view(stale, withVault(goodLog))), {
    obstacle: /pollux has acknowledged changes alone/,
  })
})

t.test(
  'an owner that was taken over by force comes back with its log if the other never served',
  async (t) => {
    t.same(planAsKeeper(view({ ...alone, owner: 'pollux', epoch: 5 }, goodLog)), { log: 'ring' })
  },
)

t.test('a record older than the log stops everything: the arbiter was set back', async (t) => {
  const past = { ...mirrored, epoch: 3 }
  t.match(planAsOwner(view(past, goodLog)), { obstacle: /epoch 4, the arbiter's record only of 3/ })
  t.match(planAsKeeper(view({ ...past, owner: 'pollux' }, goodLog)), { obstacle: /from the past/ })
  t.match(planAsKeeper(view({ ...past, owner: 'pollux', clean: true }, goodLog)), {
    obstacle: /from the past/,
  })
})

t.test('by force the copy with most is taken', async (t) => {
  const stale = { ...alone, owner: 'pollux', incarnations: { pollux: 'ring-p' } }
  t.equal(planForced(view(givenToPollux, { ...goodLog, complete: false })), 'ring', 'listed')
  t.equal(planForced(view({ ...stale, clean: true }, goodLog)), 'none', 'all is on the disks')
  t.equal(planForced(view(stale, withVault(goodLog))), 'vault', 'it has what the other did alone')
  t.equal(planForced(view(stale, goodLog)), 'ring', 'a beginning is better than nothing')
  t.equal(
    planForced(view({ ...stale, epoch: 5 }, goodLog)),
    'none',
    'a ring of another epoch is another branch',
  )
  t.equal(planForced(view(stale, lostLog)), 'none')
})
