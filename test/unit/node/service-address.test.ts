import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EventLog } from '../../../ts/node/events.ts'
import {
  endClients,
  ORIGIN,
  PARTING_MS,
  removeAddress,
  ServiceAddress,
} from '../../../ts/node/service-address.ts'
import { FakeHost } from '../../support/fake-host.ts'

const plan = { address: '10.0.0.10', interface: 'eth0', prefixLength: 32, aggregates: ['one'] }
const ours = { index: 2, prefixLength: 32, origin: ORIGIN }

/** An address on a host, and what was said of it. */
function made(change: Partial<typeof plan> = {}) {
  const host = new FakeHost()
  const events = new EventLog('castor', { write: () => {} })
  const address = new ServiceAddress({ ...plan, ...change }, host.tools, events, 2)
  const said = () => events.after(0).map(({ event }) => event)
  return { host, address, events, said }
}

const sent = (done: readonly string[]): number => done.filter((line) => line.startsWith('sent')).length

t.test('an address comes when it is raised, is kept, and goes with its connections', async (t) => {
  const { host, address, said } = made()
  address.prepare()
  address.tick(0, true)
  t.same(host.take(), [], 'not before that')
  address.raise(0)
  t.same(host.places, [ours])
  t.same(host.take(), ['set for 2 s', 'sent 42 bytes by 2', 'sent 42 bytes by 2'], 'announced, and asked for')
  t.same(address.status, { address: '10.0.0.10', interface: 'eth0', isSet: true, problem: '' })
  address.raise(1)
  t.same(host.take(), [], 'once')
  address.tick(250, true)
  t.same(host.take(), ['set for 2 s', 'sent 42 bytes by 2'])
  for (let tick = 2; tick < 100; tick += 1) address.tick(250 * tick, true)
  t.equal(sent(host.take()), 10, 'announced for three seconds')
  address.lower()
  address.tick(30_000, true)
  t.same(host.take(), ['reset'], 'clients hear it while the address is still there')
  await sleep(2 * PARTING_MS)
  t.same(host.take(), ['reset', 'removed'])
  address.lower()
  await address.close()
  t.same(host.take(), [])
  t.same(said(), ['service-address-set', 'service-address-removed'])
})

t.test('an IPv6 address is announced, and nobody is asked for it', async (t) => {
  const { host, address } = made({ address: 'fd00::10', prefixLength: 128 })
  address.prepare()
  address.raise(0)
  t.same(host.take(), ['set for 2 s', 'sent 86 bytes by 2'])
})

t.test('where frames of the interface are not known, nothing is announced', async (t) => {
  const { host, address } = made()
  host.state = { ...host.state!, mac: undefined }
  address.prepare()
  address.raise(0)
  t.same(host.take(), ['set for 2 s'])
})

t.test('what a predecessor has left is removed before anything, what others have set is not', async (t) => {
  const { host, address, said } = made()
  host.places = [{ index: 7, prefixLength: 24, origin: ORIGIN }]
  address.prepare()
  t.same(host.take(), ['reset', 'removed'], 'from whatever interface')
  t.same(said(), ['service-address-left'])
  host.places = [{ index: 2, prefixLength: 24, origin: 0 }]
  t.throws(() => address.prepare(), {
    code: 'ADDRESS_UNUSABLE',
    message: /10\.0\.0\.10 is on this host already/,
  })
  t.same(host.take(), [])
})

t.test('a node that could not set the address says so at its start', async (t) => {
  const absent = made({ interface: 'eth7' })
  t.throws(
    () => absent.address.prepare(),
    /cannot be set on eth7: this host has no such interface; it has lo/,
  )
  for (const name of ['tryOut', 'openFrames']) {
    const { host, address } = made()
    host.refusals[name] = 'no capability'
    t.throws(() => address.prepare(), /no capability/, name)
  }
})

t.test('an address that somebody removes is set again, and announced', async (t) => {
  const { host, address, said } = made()
  address.prepare()
  address.raise(0)
  for (let tick = 1; tick < 20; tick += 1) address.tick(250 * tick, true)
  host.take()
  host.places = []
  address.tick(5000, false)
  t.same(host.places, [], 'not while it is in doubt who serves')
  t.same(host.take(), [])
  address.tick(5250, true)
  t.same(host.places, [ours])
  t.equal(sent(host.take()), 2)
  t.same(said(), ['service-address-set', 'service-address-lost'])
})

t.test('an interface that goes down is told, and the address announced when it is back', async (t) => {
  const { host, address, said } = made()
  const state = host.state!
  address.prepare()
  address.raise(0)
  for (let tick = 1; tick < 20; tick += 1) address.tick(250 * tick, true)
  host.take()
  host.state = { ...state, isRunning: false }
  address.tick(5000, true)
  address.tick(5250, true)
  t.equal(address.status.problem, 'eth0 is down')
  host.state = state
  host.take()
  address.tick(5500, true)
  t.equal(sent(host.take()), 2)
  t.equal(address.status.problem, '')
  host.state = undefined
  address.tick(5750, true)
  address.tick(6000, true)
  t.match(address.status, { isSet: false, problem: 'there is no eth0' })
  host.state = { ...state, index: 3 }
  host.places = []
  address.tick(6250, true)
  t.same(host.take(), ['set for 2 s', 'closed 102', 'sent 42 bytes by 3', 'sent 42 bytes by 3'])
  const downs = ['service-link-down', 'service-link-up']
  const gone = ['service-link-down', 'service-address-failed', 'service-link-up', 'service-address-set']
  t.same(said(), ['service-address-set', ...downs, ...gone])
})

t.test('another host that claims the address is told, and answered by announcements', async (t) => {
  const { host, address, events, said } = made()
  address.prepare()
  host.claim(9)
  address.raise(0)
  t.equal(address.status.problem, '', 'what was said before counts for nothing')
  for (let tick = 1; tick < 20; tick += 1) address.tick(250 * tick, true)
  host.take()
  const mac = host.claim(9)
  host.claim(9)
  address.tick(5000, true)
  host.claim(9)
  address.tick(5250, true)
  t.equal(address.status.problem, `another host claims it, too: ${mac}`)
  t.equal(sent(host.take()), 4, 'each time it is announced and asked for')
  address.tick(15_000, true)
  t.not(address.status.problem, '')
  address.tick(15_300, true)
  t.equal(address.status.problem, '', 'it has been silent for long enough')
  t.same(said(), ['service-address-set', 'service-address-claimed', 'service-address-alone'])
  t.match(events.after(0)[1]!.text, mac)
  host.take()
  host.claim(9)
  address.tick(15_500, false)
  t.equal(sent(host.take()), 0, 'nothing is claimed while it is in doubt who serves')
})

t.test('many who claim the address, or one who makes up hardware, are one event', async (t) => {
  const { host, address, events, said } = made()
  address.prepare()
  address.raise(0)
  for (let mac = 0; mac < 5; mac += 1) host.claim(100 + mac)
  address.tick(250, true)
  for (let tick = 2; tick < 200; tick += 1) {
    host.claim(100 + (tick % 120))
    address.tick(250 * tick, true)
  }
  t.same(said(), ['service-address-set', 'service-address-claimed'])
  t.match(events.after(0)[1]!.text, /02:00:00:00:00:64, 02:00:00:00:00:65, 02:00:00:00:00:66 and 2 more/)
  t.match(address.status.problem, /02:00:00:00:00:66 and at least 97 more/)
  address.tick(70_000, true)
  t.equal(address.status.problem, '')
})

t.test('where the host cannot say what hardware it has, nobody counts as a rival', async (t) => {
  const { host, address } = made()
  address.prepare()
  host.refusals['macsHere'] = 'EMFILE'
  host.claim(9)
  address.raise(0)
  host.claim(9)
  address.tick(250, true)
  t.match(address.status, { isSet: true, problem: '' })
})

t.test('an address that somebody removes all the time is told some times only', async (t) => {
  const { host, address, said } = made()
  address.prepare()
  address.raise(0)
  for (let tick = 1; tick < 100; tick += 1) {
    host.places = []
    address.tick(250 * tick, true)
  }
  t.equal(said().filter((event) => event === 'service-address-lost').length, 20)
})

t.test('listeners are opened again when the address comes back after a failure', async (t) => {
  const { host, address } = made()
  let ended = 0
  address.listenersEnded = () => {
    ended += 1
  }
  address.prepare()
  address.raise(0)
  host.refusals['set'] = 'ENOBUFS'
  address.tick(250, true)
  t.equal(address.status.isSet, false)
  // meanwhile the guard has ended them
  host.places = []
  host.refusals = {}
  address.tick(500, true)
  t.match([address.status.isSet, ended], [true, 1])
})

t.test('a prefix is refused where removing the address would remove others of the host', async (t) => {
  const { host, address } = made({ prefixLength: 24 })
  t.throws(() => address.prepare(), {
    code: 'ADDRESS_UNUSABLE',
    message: /prefix_length 24, .*eth0, too; leave prefix_length out, or set .*promote_secondaries=1/,
  })
  host.promotes = true
  t.doesNotThrow(() => address.prepare())
  t.doesNotThrow(() => made({ address: 'fd00::10', prefixLength: 64 }).address.prepare(), 'of IPv4 only')
})

t.test('a node that serves again at once keeps its address', async (t) => {
  const { host, address } = made()
  address.prepare()
  address.raise(0)
  address.lower()
  let ended = 0
  address.listenersEnded = () => {
    ended += 1
  }
  address.raise(1)
  t.equal(ended, 1, 'its listeners have to be opened again')
  await sleep(2 * PARTING_MS)
  t.same(host.places, [ours])
  t.equal(address.status.isSet, true)
  address.lower()
  await address.close()
  t.same(host.places, [], 'closing waits until it is gone')
  t.equal(ended, 2, 'others may listen there, too')
})

t.test('hardware that changes is announced', async (t) => {
  const { host, address } = made()
  address.prepare()
  address.raise(0)
  for (let tick = 1; tick < 20; tick += 1) address.tick(250 * tick, true)
  host.take()
  host.state = { ...host.state!, mac: Uint8Array.of(2, 0, 0, 0, 0, 2) }
  address.tick(5000, true)
  address.tick(5250, true)
  t.equal(sent(host.take()), 3)
})

t.test('an address that cannot be set is tried on, and one that cannot be removed is told', async (t) => {
  const { host, address, events, said } = made()
  address.prepare()
  host.refusals['set'] = 'no capability any more'
  address.raise(0)
  address.tick(250, true)
  t.match(address.status, { isSet: false, problem: 'no capability any more' })
  host.refusals = {}
  address.tick(500, true)
  t.match(address.status, { isSet: true, problem: '' })
  host.refusals = { remove: 'no capability again' }
  await address.close()
  t.match(address.status, { isSet: false, problem: '' })
  t.same(said(), ['service-address-failed', 'service-address-set', 'service-address-stays'])
  t.match(events.after(0).at(-1)!.text, 'no capability again; the kernel removes it within 2 s')
})

t.test('an address is removed also where the kernel ends no connections', async (t) => {
  const host = new FakeHost()
  host.places = [ours]
  host.refusals['resetConnections'] = 'EOPNOTSUPP'
  const complaints: string[] = []
  const complain = (text: string) => complaints.push(text)
  t.equal(endClients('10.0.0.10', host.tools, complain), true)
  removeAddress('10.0.0.10', host.tools)
  t.same([host.places, complaints], [[], ['EOPNOTSUPP']])
  t.equal(endClients('10.0.0.10', host.tools, complain), false)
})
