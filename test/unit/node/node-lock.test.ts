import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { flock } from '../../../ts/adapters/native.ts'
import { isLocked, lastPid, NodeLock } from '../../../ts/node/node-lock.ts'

t.test('a node runs once only, and says which process it is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-lock-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const socket = join(folder, 'deep', 'castor.sock')
  t.equal(isLocked(socket, flock), false)
  t.equal(lastPid(socket), undefined)
  const lock = new NodeLock(socket, 'castor', flock)
  t.equal(isLocked(socket, flock), true)
  t.equal(lastPid(socket), process.pid)
  t.throws(() => new NodeLock(socket, 'castor', flock), {
    code: 'PORT_IN_USE',
    message: `node castor is running already (process ${process.pid})`,
  })
  t.equal(readFileSync(`${socket}.lock`, 'utf8'), `${process.pid}\n`, 'a second one changes nothing')
  lock.release()
  t.equal(isLocked(socket, flock), false)
  new NodeLock(socket, 'castor', flock).release()
})

t.test('somebody who only looks does not keep a node from starting', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-lock-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  let looks = 3
  const busyAtFirst = (descriptor: number) => looks-- <= 0 && flock(descriptor)
  const lock = new NodeLock(join(folder, 'castor.sock'), 'castor', busyAtFirst)
  t.equal(isLocked(join(folder, 'castor.sock'), flock), true)
  lock.release()
})
