import t from 'tap'
import { EventLog } from '../../../ts/node/events.ts'

t.test('an event is one line of JSON, and is kept', async (t) => {
  const lines: string[] = []
  const log = new EventLog('castor', { write: (line) => void lines.push(line) })
  log.add('warn', 'link-down', 'the link is down', { aggregate: 'one', facts: { attempt: 3 } })
  t.equal(lines.length, 1)
  t.ok(lines[0]!.endsWith('\n'))
  t.match(JSON.parse(lines[0]!), {
    level: 'warn',
    node: 'castor',
    event: 'link-down',
    text: 'the link is down',
    aggregate: 'one',
    facts: { attempt: 3 },
  })
  t.match(log.after(0), [{ number: 1, level: 'warn', event: 'link-down', aggregate: 'one' }])
})

t.test('only the last 200 events are kept, and they can be followed', async (t) => {
  const log = new EventLog('castor', { write: () => {} })
  for (let count = 1; count <= 250; count += 1) log.add('info', 'tick', `tick ${count}`)
  t.equal(log.after(0).length, 200)
  t.equal(log.after(0)[0]!.number, 51)
  t.same(
    log.after(248).map(({ text }) => text),
    ['tick 249', 'tick 250'],
  )
  t.same(log.after(250), [])
})

t.test('what others can make happen all the time is told 20 times a minute', async (t) => {
  const clock = { ms: 5 }
  const log = new EventLog('castor', { write: () => {} }, () => clock.ms)
  const knock = (event: string) => log.addSparingly('warn', event, 'somebody knocks')
  const told = () => log.after(0).length
  for (let count = 0; count < 50; count += 1) knock('refused')
  t.equal(told(), 20)
  knock('lost')
  t.equal(told(), 21, 'each sort by itself')
  clock.ms += 60_001
  knock('refused')
  t.equal(log.after(0).at(-1)!.text, 'somebody knocks (30 more were not told)')
  knock('refused')
  t.equal(log.after(0).at(-1)!.text, 'somebody knocks')
})

t.test('an error is still among the recent events when many others have followed', async (t) => {
  const events = new EventLog('castor', { write: () => undefined })
  events.add('error', 'fenced', 'this node was fenced')
  for (let round = 0; round < 50; round += 1) events.add('info', 'link up', `round ${round}`)
  const recent = events.recent(6)
  t.same(
    recent.map(({ number }) => number),
    [1, 47, 48, 49, 50, 51],
  )
  for (let round = 0; round < 9; round += 1) events.add('error', 'fenced', `again ${round}`)
  t.same(
    events.recent(6).map(({ number }) => number),
    [55, 56, 57, 58, 59, 60],
    'errors that nothing has followed are just the newest',
  )
})
