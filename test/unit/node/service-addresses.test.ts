import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseNodeConfig } from '../../../ts/config/node-config.ts'
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
  const engines = { serves: true, asked: 0 }
  addresses.prepare()
  const ask = async () => {
    engines.asked += 1
    return engines.serves
  }
  addresses.start(ask, (address) => listened.push(address))
  t.teardown(() => addresses.close())
  const pass = (ms: number): void => {
    clock.ms += ms
    addresses.tick()
  }
  const said = () => events.after(0).map(({ event }) => event)
  return { host, addresses, engines, clock, pass, said, listened, isSet: () => addresses.status[0]!.isSet }
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
  const { addresses, engines, host, pass, listened } = started(t, aggregate('one', '4'))
  addresses.serving('one', true)
  pass(250)
  host.take()
  engines.serves = false
  // the kernel has removed it meanwhile
  host.places = []
  pass(3000)
  t.same(host.take(), [])
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
  t.ok(engines.asked >= 4, 'twice, since an engine looks at its lease between two answers')
})

t.test('what an engine has said before a sleep is not believed when it is heard after it', async (t) => {
  const { addresses, engines, isSet, clock, pass } = started(t, aggregate('one', '4'))
  engines.serves = false
  clock.ms += 3000
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
  const { addresses, isSet, clock } = started(t, aggregate('one', '4'))
  clock.ms += 3000
  addresses.serving('one', true)
  addresses.serving('one', false)
  await sleep(0)
  t.notOk(isSet())
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
