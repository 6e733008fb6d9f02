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

t.test('a node opens the image only where it reaches a plex in sync', async (t) => {
  const plexes = { plex0: 'stale', plex1: 'in-sync' } as const
  const reaching = (of: View, ...reached: number[]): View => ({ ...of, plexes: reached })
  const stale = { obstacle: 'plex 0 on castor is stale: changes are missing that the other plex has' }
  const own = view({ ...mirrored, ...plexes }, goodLog)
  t.same(planAsOwner(reaching(own, 0)), stale)
  t.same(planAsOwner(reaching(own, 1)), { log: 'ring' })
  t.same(planAsOwner(reaching(own, 0, 1)), { log: 'ring' }, 'one of them is enough')
  t.match(planAsOwner(reaching(view({ ...clean, ...plexes }, goodLog), 0)), stale, 'a clean end or not')
  const other = view({ ...givenToPollux, ...plexes }, goodLog)
  t.same(planAsKeeper(reaching(other, 0)), stale)
  t.same(planAsKeeper(reaching(other, 1)), { log: 'ring' })
  t.same(planAsKeeper(reaching(view(givenToPollux, goodLog), 1)), {
    obstacle: 'plex 1 on castor is stale: changes are missing that the other plex has',
  })
  t.same(planForced(reaching(own, 0)), 'ring', 'what an operator may do is decided elsewhere')
})

t.test('a node reaches the disks of its partner as long as that is keeper', async (t) => {
  const stale = { ...mirrored, plex0: 'stale', plex1: 'in-sync' } as const
  const seen = (record: View['record'], facts?: PartnerFacts): View => ({
    ...view(record, goodLog, facts),
    plexes: [0],
  })
  t.same(planAsOwner(seen(stale, keeperFacts)), { log: 'ring' })
  const obstacle = /plex 0 on castor is stale/
  t.match(planAsOwner(seen(stale)), { obstacle }, 'the link is down')
  t.match(planAsOwner(seen(stale, { ...keeperFacts, state: 'owner' })), { obstacle })
  const given = { ...stale, owner: 'pollux' }
  t.same(planAsKeeper(seen(given, keeperFacts)), { log: 'ring' })
  t.match(planAsKeeper(seen(given, { ...keeperFacts, state: 'owner' })), { obstacle })
})

t.test('who does not know of a mirror that counts does not open the image', async (t) => {
  const obstacle = 'a is mirrored, and the configuration of castor has no mirror for it: add it'
  const unaware = (record: View['record']): View => ({ ...view(record, goodLog), plexCount: 1, plexes: [0] })
  const both = { ...mirrored, plex1: 'in-sync' } as const
  t.same(planAsOwner(unaware(both)), { obstacle })
  t.same(planAsOwner(unaware({ ...both, clean: true })), { obstacle })
  t.same(planAsKeeper(unaware({ ...both, owner: 'pollux' })), { obstacle })
  for (const plex1 of ['stale', 'absent'] as const)
    t.same(planAsOwner(unaware({ ...both, plex1 })), { log: 'ring' }, plex1)
  t.same(planAsOwner(view(both, goodLog)), { log: 'ring' })
  const only = unaware({ ...both, plex0: 'stale' })
  t.match(planAsOwner(only), { obstacle: /plex 0 on castor is stale/ }, 'what it has is told first')
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
