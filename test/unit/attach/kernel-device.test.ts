import t from 'tap'
import { indexOf, isConnected, parseStat } from '../../../ts/attach/kernel-device.ts'

t.test('requests are counted from the line of the kernel', async (t) => {
  const line = ' 10 1 80 5  20 2 160 9  3 100 50  4 0 32 1  6 2'
  t.same(parseStat(line), { answered: 40, waiting: 3 })
  t.same(parseStat('10 1 80 5 20 2 160 9 3 100 50'), { answered: 30, waiting: 3 }, 'kernels before 4.18')
  t.same(parseStat(''), { answered: 0, waiting: 0 }, 'a device that has gone')
})

t.test('a device is known by its number', async (t) => {
  t.equal(indexOf('/dev/nbd13'), 13)
  t.notOk(isConnected(99_999))
})
