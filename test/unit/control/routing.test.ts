import t from 'tap'
import type { AggregateView, NodeControl } from '../../../ts/control/node-control.ts'
import {
  aggregateForNewVolume,
  aggregateNamed,
  aggregateOfVolume,
  aggregatesMeant,
} from '../../../ts/control/routing.ts'

const nodeWith = (...aggregates: AggregateView[]): NodeControl =>
  ({ name: 'castor', aggregates: () => aggregates }) as unknown as NodeControl

const view = (name: string, facts: Partial<AggregateView> = {}): AggregateView => ({
  name,
  home: 'castor',
  serves: true,
  because: '',
  volumes: [],
  ...facts,
})

t.test('a new volume goes where it is asked for, else home, else anywhere', async (t) => {
  const guest = view('guest', { home: 'pollux' })
  const away = view('away', { serves: false, because: 'pollux owns it' })
  t.equal(aggregateForNewVolume(nodeWith(guest, view('own')), undefined).name, 'own')
  t.equal(aggregateForNewVolume(nodeWith(guest, view('own')), 'guest').name, 'guest')
  t.equal(aggregateForNewVolume(nodeWith(guest, away), undefined).name, 'guest')
  t.throws(() => aggregateForNewVolume(nodeWith(away), undefined), {
    code: 'NOT_READY',
    message: 'node castor serves no aggregate now (away: pollux owns it)',
  })
})

t.test('an aggregate that is not there is named, with those that are', async (t) => {
  t.throws(() => aggregateNamed(nodeWith(view('a'), view('b')), 'c'), {
    code: 'USAGE',
    message: 'node castor has no aggregate c; it has a, b',
  })
})

t.test('a name that two aggregates have needs the aggregate', async (t) => {
  const volumes = [{ name: 'data', size: 1 }]
  const node = nodeWith(view('a', { volumes }), view('b', { volumes }))
  t.throws(() => aggregateOfVolume(node, 'data', undefined), { code: 'USAGE', message: /a and b both/ })
  t.equal(aggregateOfVolume(node, 'data', 'b').name, 'b')
})

t.test('without names those that fit are meant', async (t) => {
  const node = nodeWith(view('a'), view('b', { serves: false }))
  const meant = (names: string[] | undefined) => aggregatesMeant(node, names, ({ serves }) => serves)
  t.same(
    meant(undefined).map(({ name }) => name),
    ['a'],
  )
  t.same(
    meant(['b']).map(({ name }) => name),
    ['b'],
  )
  t.same(meant([]), [])
})
