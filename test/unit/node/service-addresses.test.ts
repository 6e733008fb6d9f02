import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseNodeConfig } from '../../../ts/config/node-config.ts'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { ServiceAddresses } from '../../../ts/node/service-addresses.ts'
import { FakeHost } from '../../support/fake-host.ts'

const identity = (digit: string): string => digit.repeat(32)
const aggregate = (name: string, digit: string): string =>
  `[[aggregate]]
name = "${name}"
identity = "${identity(digit)}"
home = "castor"
disks = ["/dev/${name}"]
service = "10.0.0.10:10809"
interface = "eth0"
`
const config = (partner: string, ...aggregates: string[]) =>
  parseNodeConfig(
    `pair = "${identity('a')}"
node = { name = "castor", identity = "${identity('1')}" }
partner = { name = "pollux", identity = "${identity('2')}", link = "${partner}:10800" }
nvram = { directory = "/dev/shm/castor" }
arbiter = { kind = "file", directory = "/srv/arbiter" }
link = { listen = "0.0.0.0:10801" }
api = { socket = "/run/pollux/castor.sock" }
${aggregates.join('')}`,
    'node.toml',
  )

const BOOT = 'b0'
const record = (boot: string): OwnerRecord => ({
  version: 2,
  aggregate: 'one',
  owner: 'castor',
  epoch: 1,
  log: 'in-sync',
  incarnations: {},
  plex0: 'in-sync',
  plex1: 'absent',
  lease: { holder: 'castor', boot, durationMs: 2000, counter: 1 },
  clean: false,
  forced: [],
})
const swapped = { kind: 'swapped', record: record(BOOT) } as const

/** The addresses of a node, with a clock and ticks by hand. */
function started(t: Test, ...aggregates: string[]) {
  const host = new FakeHost()
  const events = new EventLog('castor', { write: () => {} })
  const clock = { ms: 1000 }
  const listened: string[] = []
  const addresses = new ServiceAddresses(config('203.0.113.77', ...aggregates), {
    tools: host.tools,
    events,
    // ends with its standard input, and does nothing else
    guard: new URL('../../support/idle-guard.js', import.meta.url),
    nowMs: () => clock.ms,
  })
  /** what engines answer, and how often they were asked */
  const engines = { serves: true, asked: 0, fails: false }
  addresses.prepare()
  const arbiter = addresses.watched(
    { read: () => {}, swap: (_name, _at, _next, done) => done(swapped) },
    BOOT,
  )
  const renew = (name = 'one') => arbiter.swap(name, 1, record(BOOT), () => {})
  renew('one')
  const ask = async () => {
    engines.asked += 1
    if (engines.fails) throw new Error('no answer')
    return engines.serves
  }
  addresses.start(ask, (address) => listened.push(address))
  t.teardown(() => addresses.close())
  const pass = (ms: number): void => {
    clock.ms += ms
    addresses.tick()
  }
  const said = () => events.after(0).map(({ event }) => event)
  const isSet = () => addresses.status[0]!.isSet
  return { host, addresses, engines, clock, pass, said, listened, renew, arbiter, isSet }
}

t.test('an address goes with the first of its aggregates, by name', async (t) => {
  const { addresses, isSet, pass, said } = started(t, aggregate('two', '3'), aggregate('one', '4'))
  addresses.serving('two', true)
  t.notOk(isSet(), 'whatever their order in the file')
  t.match(addresses.status[0]!.problem, /aggregate two is served here, but 10.0.0.10 goes with aggregate one/)
  addresses.serving('one', true)
  t.ok(isSet())
  addresses.serving('two', false)
  t.ok(isSet())
  t.equal(addresses.status[0]!.problem, '')
  addresses.serving('one', false)
  t.notOk(isSet())
  addresses.serving('two', true)
  for (let tick = 0; tick < 40; tick += 1) pass(250)
  t.equal(said().filter((event) => event === 'service-address-apart').length, 1, 'it is said once')
})

t.test('after a sleep nothing is kept or set before the engine has said that it still serves', async (t) => {
  const { addresses, engines, host, pass, listened, renew } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  pass(250)
  host.take()
  engines.serves = false
  // the kernel has removed it meanwhile
  host.places = []
  pass(3000)
  t.same(host.take(), [])
  renew()
  await sleep(0)
  pass(250)
  await sleep(0)
  t.same(host.places, [])
  engines.serves = true
  pass(250)
  await sleep(0)
  pass(250)
  t.equal(host.places.length, 1, 'it does')
  t.same(listened, ['10.0.0.10'], 'listeners were ended, too, by whoever removed it')
  t.equal(engines.asked, 3, 'a no, and a yes twice, since an engine looks at its lease between two answers')
})

t.test('what an engine has said before a sleep is not believed when it is heard after it', async (t) => {
  const { addresses, engines, isSet, clock, pass, renew } = started(t, aggregate('one', '4'))
  engines.serves = false
  clock.ms += 3000
  renew()
  addresses.serving('one', true)
  t.notOk(isSet(), 'heard before the tick')
  addresses.serving('one', false)
  pass(0)
  addresses.serving('one', true)
  t.notOk(isSet(), 'heard after it')
  await sleep(0)
  t.notOk(isSet())
  engines.serves = true
  addresses.serving('one', false)
  addresses.serving('one', true)
  await sleep(0)
  t.ok(isSet(), 'a new owner has its address as soon as the engine has answered')
})

t.test('an engine that serves no more while it is asked gets no address', async (t) => {
  const { addresses, isSet, clock, renew } = started(t, aggregate('one', '4'))
  clock.ms += 3000
  renew()
  addresses.serving('one', true)
  addresses.serving('one', false)
  await sleep(0)
  t.notOk(isSet())
})

t.test('the address of an engine that hangs goes when its lease does, and comes back with it', async (t) => {
  const { addresses, engines, host, pass, said, renew, isSet } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  for (let tick = 0; tick < 6; tick += 1) pass(250)
  t.ok(isSet(), '1.5 s after the last renewal')
  host.take()
  pass(100)
  t.notOk(isSet(), 'two seconds, less a margin of 0.4')
  t.same(host.take(), ['reset'], 'clients hear of it')
  await sleep(50)
  t.same(host.places, [], 'and it is gone')
  t.match(addresses.status[0]!.problem, /aggregate one has not said yet, or not any more, that it serves/)
  for (let tick = 0; tick < 20; tick += 1) pass(250)
  t.same([host.places, engines.asked], [[], 0], 'nobody asks an engine that hangs')
  renew()
  pass(0)
  await sleep(0)
  t.equal(host.places.length, 1, 'a lease, and an answer')
  t.same(
    said().filter((event) => event === 'service-address-expired'),
    ['service-address-expired'],
  )
})

t.test('an address goes between two ticks when the lease ends there', async (t) => {
  const { addresses, host, clock, pass } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  for (let tick = 0; tick < 6; tick += 1) pass(250)
  clock.ms += 100
  // 100 ms after the tick that has seen the end come, by the real clock
  await sleep(200)
  t.same(host.places, [])
})

t.test('a lease that was given away, or that nobody has granted, keeps no address', async (t) => {
  const { addresses, arbiter, pass, isSet } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  arbiter.swap('one', 2, { ...record(BOOT), lease: null }, () => {})
  pass(1)
  t.notOk(isSet(), 'given up')
  const another = started(t, aggregate('one', '4'))
  another.arbiter.swap('one', 2, record('another process'), () => {})
  another.engines.serves = false
  another.addresses.serving('one', true)
  t.notOk(another.isSet(), 'that of somebody else')
})

t.test('an answer to a question of before a second stop settles nothing', async (t) => {
  const { addresses, engines, isSet, pass, renew } = started(t, aggregate('one', '4'))
  engines.serves = true
  addresses.serving('one', true)
  pass(3000)
  t.notOk(isSet())
  renew()
  pass(0)
  t.equal(engines.asked, 1, 'it is asked')
  // it stops again and goes on before the answers are heard
  pass(1200)
  renew()
  await sleep(0)
  t.notOk(isSet())
  pass(0)
  await sleep(0)
  t.ok(isSet(), 'those of a new question do')
})

t.test('a question that fails is asked again', async (t) => {
  const { addresses, engines, isSet, pass, renew } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  pass(3000)
  renew()
  engines.fails = true
  pass(0)
  await sleep(0)
  engines.fails = false
  pass(0)
  await sleep(0)
  t.ok(isSet())
})

t.test('closing removes what is set', async (t) => {
  const { addresses, host } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  await addresses.close()
  t.same(host.places, [])
})

t.test('two nodes on one host cannot move an address', async (t) => {
  const parts = {
    tools: new FakeHost().tools,
    events: new EventLog('castor', { write: () => {} }),
    guard: new URL('file:///none'),
    nowMs: () => 0,
  }
  t.throws(() => new ServiceAddresses(config('127.0.0.1', aggregate('one', '3')), parts).prepare(), {
    code: 'ADDRESS_UNUSABLE',
    message: /partner.link is an address of this one: remove interface from aggregate one/,
  })
})
