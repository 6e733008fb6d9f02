import type { ChildProcess, spawn } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { AddressGuard } from '../../../ts/node/address-guard.ts'
import { EventLog } from '../../../ts/node/events.ts'
import { until } from '../../support/program.ts'

const args = { node: 'castor', silenceMs: 1500, addresses: ['10.0.0.10'] }

/** A guard whose process is begun by `start`, and what was said of it. */
function guarded(t: Test, start: () => unknown) {
  const events = new EventLog('castor', { write: () => {} })
  const starts: number[] = []
  const begin = (() => {
    starts.push(performance.now())
    return start()
  }) as unknown as typeof spawn
  const guard = new AddressGuard(new URL('file:///guard.js'), args, events, begin)
  t.teardown(() => guard.close())
  return { guard, starts, said: () => events.after(0).map(({ text }) => text) }
}

t.test('a host that is short of memory costs the guard for a while, not the node', async (t) => {
  const { guard, starts, said } = guarded(t, () => {
    throw new Error('spawn ENOMEM')
  })
  guard.beat()
  await until('three attempts', () => starts.length === 3, 10_000)
  t.ok(starts[2]! - starts[1]! > 1.5 * (starts[1]! - starts[0]!), 'each after a longer time')
  t.same(said(), ['the guard of the service addresses has to be started again: spawn ENOMEM'], 'told once')
})

t.test('a child without standard input is one that has failed', async (t) => {
  const child = Object.assign(new EventEmitter(), { unref: () => {} }) as ChildProcess
  const { guard, starts, said } = guarded(t, () => child)
  guard.beat()
  child.emit('error', new Error('spawn EMFILE'))
  t.match(said(), [/spawn EMFILE/])
  t.doesNotThrow(() => child.emit('error', new Error('and again')))
  await until('it is begun again', () => starts.length === 2)
  guard.close()
})

t.test('the guard starts from whatever folder', async (t) => {
  const folder = path.join(t.testdir(), 'Zwölf Brüder & 100 %')
  mkdirSync(folder)
  const program = path.join(folder, 'guard.cjs')
  const witness = path.join(folder, 'begun')
  writeFileSync(
    program,
    `require('node:fs').writeFileSync(${JSON.stringify(witness)}, ''); process.stdin.resume()`,
  )
  const events = new EventLog('castor', { write: () => {} })
  const guard = new AddressGuard(pathToFileURL(program), args, events)
  t.teardown(() => guard.close())
  await until('it runs', () => existsSync(witness))
  t.same(events.after(0), [])
})
