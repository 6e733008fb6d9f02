import t from 'tap'
import { AssertionFailure, assert, unreachable } from '../../../ts/base/assert.ts'

t.test('an assertion that holds says nothing, one that does not names our bug', async (t) => {
  t.doesNotThrow(() => assert(1, 'holds'))
  for (const value of [false, 0, '', undefined, null]) {
    t.throws(() => assert(value, 'a ring has places'), {
      name: 'AssertionFailure',
      message: 'a ring has places',
    })
  }
})

t.test('a branch that cannot be reached says with what it was', async (t) => {
  t.throws(() => unreachable('other' as never), new AssertionFailure('unreachable: other'))
})
