import t from 'tap'
import { atEnd, tidily } from '../../../bench/cleanup.ts'

t.test('what a part has left is done when the part ends, the latest first', async (t) => {
  const done: string[] = []
  const result = await tidily(async () => {
    atEnd(() => done.push('first'))
    await tidily(async () => atEnd(() => done.push('inner')))
    t.same(done, ['inner'], 'a part within it leaves the rest alone')
    atEnd(() => done.push('second'))
    return 7
  })
  t.equal(result, 7)
  t.same(done, ['inner', 'second', 'first'])
})

t.test('it is done, too, when the part fails, and each step in spite of the others', async (t) => {
  const done: string[] = []
  const said: unknown[] = []
  const { error } = console
  console.error = (text: unknown) => said.push(text)
  t.teardown(() => {
    console.error = error
  })
  const failed = tidily(async () => {
    atEnd(() => done.push('first'))
    atEnd(() => {
      throw new Error('stuck')
    })
    throw new Error('the part failed')
  })
  await t.rejects(failed, /the part failed/)
  t.same(done, ['first'])
  t.match(said[0], /while cleaning up: stuck/)
})
