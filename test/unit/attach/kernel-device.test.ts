import t from 'tap'
import {
  type DeviceSigns,
  devicesOf,
  indexOf,
  isConnected,
  isMarked,
  markOf,
  parseStat,
} from '../../../ts/attach/kernel-device.ts'

t.test('requests are counted from the line of the kernel', async (t) => {
  const line = ' 10 1 80 5  20 2 160 9  3 100 50  4 0 32 1  6 2'
  t.same(parseStat(line), { answered: 40, waiting: 3 })
  t.same(parseStat('10 1 80 5 20 2 160 9 3 100 50'), { answered: 30, waiting: 3 }, 'kernels before 4.18')
  t.same(parseStat(''), { answered: 0, waiting: 0 }, 'a device that has gone')
})

t.test('a device is known by its number', async (t) => {
  t.equal(indexOf('/dev/nbd13'), 13)
  t.notOk(isConnected(99_999, { backend: 'vol0-1', connectorPid: null }))
  t.same(devicesOf('vol0-1', [process.pid]), [])
})

t.test('a device that somebody else has connected since is not ours', async (t) => {
  const ours: DeviceSigns = { pid: '12', backend: 'vol0-1' }
  const mark = markOf(ours, 'vol0-1')
  t.same(mark, { backend: 'vol0-1', connectorPid: null })
  t.ok(isMarked(ours, mark))
  t.ok(isMarked({ ...ours, pid: '13' }, mark))
  for (const foreign of [
    { pid: '13', backend: undefined },
    { pid: '12', backend: undefined },
    { pid: '12', backend: 'vol0-2' },
    { pid: undefined, backend: undefined },
    { pid: undefined, backend: 'vol0-1' },
  ]) {
    t.notOk(isMarked(foreign, mark), JSON.stringify(foreign))
  }
})

t.test('a kernel that keeps no backend tells devices apart by who has connected them', async (t) => {
  const mark = markOf({ pid: '12', backend: undefined }, 'vol0-1')
  t.same(mark, { backend: 'vol0-1', connectorPid: 12 })
  t.ok(isMarked({ pid: '12', backend: undefined }, mark))
  for (const foreign of [
    { pid: '13', backend: undefined },
    { pid: '12', backend: 'vol0-2' },
    { pid: undefined, backend: undefined },
  ]) {
    t.notOk(isMarked(foreign, mark), JSON.stringify(foreign))
  }
  for (const signs of [
    { pid: undefined, backend: undefined },
    { pid: '12', backend: 'vol0-2' },
  ]) {
    t.throws(() => markOf(signs, 'vol0-1'), { code: 'ATTACH_FAILED', message: /somebody else/ })
  }
})
