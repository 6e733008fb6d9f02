import t from 'tap'
import { ownerOf, summarize } from '../../../ts/cli/pair-status.ts'
import { answered, engine, serving, silent } from '../../support/statuses.ts'

const castor = answered('castor', [serving('castor'), engine('pollux')])
const pollux = answered('pollux', [engine('castor'), serving('pollux')])

t.test('a pair that is well has every aggregate at home', async (t) => {
  const status = summarize('/x', [castor, pollux])
  t.match(status, {
    dir: '/x',
    nodes: [
      { name: 'castor', pid: 11, nbd: '127.0.0.1:1001', api: '/x/castor.sock', state: 'running' },
      { name: 'pollux', pid: 22, nbd: '127.0.0.1:1002', takeover: { possible: true, because: '' } },
    ],
    aggregates: [
      { name: 'castor', node: 'castor', log: 'in-sync' },
      { name: 'pollux', node: 'pollux' },
    ],
    volumes: [
      { name: 'castor-volume', size: 2 ** 26, node: 'castor', uri: 'nbd://127.0.0.1:1001/castor-volume' },
      { name: 'pollux-volume', node: 'pollux', uri: 'nbd://127.0.0.1:1002/pollux-volume' },
    ],
  })
})

t.test('after a takeover the address of a volume stays, and its node changes', async (t) => {
  const facts = { owner: 'pollux', epoch: 2 }
  const survivor = answered('pollux', [serving('castor', facts), serving('pollux')])
  const status = summarize('/x', [silent('castor'), survivor])
  t.match(status.nodes, [
    { name: 'castor', pid: null, state: 'down', because: 'it is not running', nbd: '127.0.0.1:1001' },
    { name: 'pollux', takeover: { possible: false, because: /castor: the partner does not answer/ } },
  ])
  t.match(status.volumes[0], { node: 'pollux', uri: 'nbd://127.0.0.1:1001/castor-volume' })
})

t.test('the URI of a volume says that clients must come over TLS', async (t) => {
  const [scheme, tls] = [/^nbds:/, ['none', 'offered', 'required'] as const]
  const uris = tls.map((stage) => {
    const { status, ...rest } = answered('castor', [serving('castor')])
    const services = status!.services.map((service) => ({ ...service, tls: stage }))
    return summarize('/x', [{ ...rest, status: { ...status!, services } }]).volumes[0]!.uri
  })
  t.same(
    uris.map((uri) => scheme.test(uri)),
    [false, false, true],
  )
})

t.test('of two that think they serve, the higher epoch does', async (t) => {
  const survivor = answered('pollux', [serving('castor', { owner: 'pollux', epoch: 2 }), serving('pollux')])
  const status = summarize('/x', [castor, survivor])
  t.match(status.aggregates[0], { name: 'castor', node: 'pollux', epoch: 2 })
  t.equal(ownerOf(status.aggregates[0]!), 'pollux')
})

t.test('an aggregate that nobody serves has the reasons of both nodes', async (t) => {
  const waiting = engine('castor', { because: 'it waits for its partner' })
  const status = summarize('/x', [answered('castor', [waiting]), answered('pollux', [engine('castor')])])
  t.match(status.aggregates, [
    { node: null, because: /castor: it waits for its partner; pollux: castor owns castor/ },
  ])
  t.same(status.volumes, [])
})

t.test('a takeover is not possible when the partner says so, and says why', async (t) => {
  const stale = engine('castor', { takeover: { possible: false, because: 'its log copy is stale' } })
  const status = summarize('/x', [castor, answered('pollux', [stale, serving('pollux')])])
  t.same(status.nodes[0]!.takeover, { possible: false, because: 'castor: its log copy is stale' })
})

t.test('an engine that does not answer in time is named', async (t) => {
  const stuck = { aggregate: 'castor', home: 'castor', silent: 'it has not answered within 500 ms' }
  const status = summarize('/x', [answered('castor', [stuck]), silent('pollux')])
  t.match(status.aggregates, [
    { name: 'castor', node: null, because: 'it has not answered within 500 ms', log: null },
  ])
})

t.test('a pair that is down has nodes and nothing else', async (t) => {
  const status = summarize('/x', [silent('castor'), silent('pollux')])
  t.match(status, { aggregates: [], volumes: [], nodes: [{ pid: null }, { pid: null }] })
})

t.test('a node that lives and does not answer is told from one that is down', async (t) => {
  const status = summarize('/x', [silent('castor', 'no answer', 77), silent('pollux')])
  t.match(status.nodes, [
    { state: 'silent', pid: 77, because: 'no answer' },
    { state: 'down', pid: null },
  ])
})
