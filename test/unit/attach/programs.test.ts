import t from 'tap'
import { endProcess, signalTo, throwAfter } from '../../../ts/attach/programs.ts'
import { isStoreError, StoreError } from '../../../ts/base/errors.ts'

/** Larger than any number of a process. */
const NOBODY = 2 ** 22 + 1

t.test('a process that has ended meanwhile is no failure', async (t) => {
  signalTo(NOBODY, 'SIGTERM')
  await endProcess(NOBODY, 'x', 10)
  t.pass()
})

t.test('clean-up does not hide the first error', async (t) => {
  const first = new StoreError('DISK_FOREIGN', 'it holds data')
  await t.rejects(
    throwAfter(first, async () => {}),
    first,
  )
  const both = await throwAfter(first, async () => {
    throw new StoreError('DISK_BUSY', 'it is in use')
  }).catch((error: unknown) => error)
  t.ok(isStoreError(both, 'DISK_FOREIGN'))
  t.match(both, { message: 'it holds data; and what was made stays: it is in use', cause: first })
  const bug = new TypeError('x is undefined')
  await t.rejects(
    throwAfter(bug, async () => {
      throw first
    }),
    bug,
  )
})
