import t from 'tap'
import { SILENCE_S, Silence } from '../../../ts/attach/silence.ts'

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

t.test('a new connection has as long, then 120 s, so that a slow request comes to its end', async (t) => {
  const silence = new Silence(0)
  const waiting = { answered: 5, waiting: 1 }
  silence.isTooLong(waiting, 0)
  silence.begin(0)
  t.notOk(silence.isTooLong(waiting, SILENCE_S * S))
  t.ok(silence.isTooLong(waiting, 31 * S))
  silence.begin(31 * S)
  t.notOk(silence.isTooLong(waiting, 151 * S))
  t.ok(silence.isTooLong(waiting, 152 * S))
  silence.begin(152 * S)
  t.notOk(silence.isTooLong({ answered: 6, waiting: 1 }, 400 * S), 'an answer')
  t.notOk(silence.isTooLong({ answered: 6, waiting: 1 }, 430 * S))
  t.ok(silence.isTooLong({ answered: 6, waiting: 1 }, 431 * S), 'is the beginning of another 30 s')
})
