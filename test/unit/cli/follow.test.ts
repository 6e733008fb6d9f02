import t from 'tap'
import { changes } from '../../../ts/cli/follow.ts'
import { summarize } from '../../../ts/cli/pair-status.ts'
import { answered, engine, serving, silent } from '../../support/statuses.ts'

const well = summarize('/x', [
  answered('castor', [serving('castor'), engine('pollux')]),
  answered('pollux', [engine('castor'), serving('pollux')]),
])
const { log } = engine('castor')
const facts = { owner: 'pollux', epoch: 2, log: { ...log, state: 'stale' as const } }
const taken = summarize('/x', [
  silent('castor'),
  answered('pollux', [serving('castor', facts), serving('pollux')]),
])

t.test('nothing is said while nothing changes', async (t) => {
  t.same(changes(well, well), [])
})

t.test('a takeover is told, and the way back', async (t) => {
  t.same(changes(well, taken), [
    'node castor is down',
    'aggregate castor is served by pollux (taken over, epoch 2)',
    'aggregate castor: the copies of the log are stale',
  ])
  t.same(changes(taken, well), [
    'node castor is running',
    'aggregate castor is served by castor (at home, epoch 1)',
    'aggregate castor: the copies of the log are in-sync',
  ])
})

t.test('an aggregate that is served by nobody is told with the reason', async (t) => {
  const nobody = summarize('/x', [
    silent('castor'),
    answered('pollux', [engine('castor'), serving('pollux')]),
  ])
  t.ok(changes(well, nobody).includes('aggregate castor is not served: pollux: castor owns castor'))
})
