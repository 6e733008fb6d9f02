import t from 'tap'
import { Silence } from '../../../ts/attach/silence.ts'

const S = 1000

t.test('a device that waits for nothing, or gets answers, is not silent', async (t) => {
  const silence = new Silence(0)
  for (let nowMs = 0; nowMs < 1000 * S; nowMs += S) {
    if (silence.isTooLong({ answered: 5, waiting: 0 }, nowMs)) t.fail('nothing was waited for')
  }
  for (let nowMs = 1000 * S; nowMs < 2000 * S; nowMs += S) {
    const answered = Math.floor(nowMs / (20 * S))
    if (silence.isTooLong({ answered, waiting: 1 }, nowMs)) t.fail('there was an answer every 20 s')
  }
  t.pass()
})

t.test('without an answer, it is too long after 30 s', async (t) => {
  const silence = new Silence(0)
  t.notOk(silence.isTooLong({ answered: 5, waiting: 3 }, 0))
  t.notOk(silence.isTooLong({ answered: 5, waiting: 3 }, 30 * S))
  t.ok(silence.isTooLong({ answered: 5, waiting: 3 }, 31 * S))
  t.notOk(silence.isTooLong({ answered: 5, waiting: 3 }, 32 * S), 'once')
})

t.test('a new connection has 10 s, then 40 s, so that a slow request comes to its end', async (t) => {
  const silence = new Silence(0)
  const waiting = { answered: 5, waiting: 1 }
  silence.isTooLong(waiting, 0)
  silence.begin(0)
  t.notOk(silence.isTooLong(waiting, 10 * S))
  t.ok(silence.isTooLong(waiting, 11 * S))
  silence.begin(11 * S)
  t.notOk(silence.isTooLong(waiting, 51 * S))
  t.ok(silence.isTooLong(waiting, 52 * S))
  silence.begin(52 * S)
  t.notOk(silence.isTooLong({ answered: 6, waiting: 1 }, 100 * S), 'an answer')
  t.notOk(silence.isTooLong({ answered: 6, waiting: 1 }, 130 * S))
  t.ok(silence.isTooLong({ answered: 6, waiting: 1 }, 131 * S), 'is the beginning of another 30 s')
  silence.begin(131 * S)
  t.ok(silence.isTooLong({ answered: 6, waiting: 1 }, 172 * S))
})
