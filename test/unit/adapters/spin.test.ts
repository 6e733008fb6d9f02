import t from 'tap'
import { Spin } from '../../../ts/adapters/spin.ts'

function learnt(times: number, waitedMs: number, spunUs: number, slept: boolean, spin = new Spin()): Spin {
  for (let i = 0; i < times; i += 1) spin.learn(waitedMs, spunUs, slept)
  return spin
}

t.test('a thread does not spin before it has seen that completions come soon', async (t) => {
  t.equal(new Spin().us, 0)
  t.ok(learnt(1, 0.06, 0, true).us > 0, 'a short sleep might have been spared')
  t.equal(learnt(5, 20, 0, true).us, 0, 'long ones might not')
})

t.test('it goes on for as long as it is worth it', async (t) => {
  const spin = learnt(100, 0.02, 50, false)
  t.ok(spin.us > 0)
  t.equal(learnt(1, 10, spin.us, true, spin).us, 0, 'one time in vain is enough')
})

t.test('after a time in vain it takes a run of short sleeps to try again', async (t) => {
  const spin = learnt(1, 0.1, 50, true)
  let count = 0
  for (; spin.us === 0; count += 1) spin.learn(0.1, 0, true)
  t.ok(count >= 8 && count < 12, `${count}`)
})

t.test('a link whose answers come later than one may spin costs little', async (t) => {
  const spin = new Spin()
  let spun = 0
  for (let i = 0; i < 1000; i += 1) {
    if (spin.us > 0) spun += 1
    spin.learn(0.12, spin.us, true)
  }
  t.ok(spun > 0 && spun < 120, `${spun} times of 1000`)
})

t.test('clients that come now and then are slept for', async (t) => {
  const spin = new Spin()
  let spun = 0
  for (let i = 0; i < 1000; i += 1) {
    if (spin.us > 0) spun += 1
    // the partner answers at once, then nothing comes for long
    const isAnswer = i % 2 === 0
    spin.learn(isAnswer ? 0.02 : 5, spin.us, spin.us === 0 || !isAnswer)
  }
  t.ok(spun < 120, `${spun} times of 1000`)
})
