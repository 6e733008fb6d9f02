import t from 'tap'
import { AssertionFailure } from '../../../ts/base/assert.ts'
import { StoreError } from '../../../ts/base/errors.ts'
import { exitCodeOf, failureLine, tableText } from '../../../ts/cli/output.ts'

t.test('columns are as wide as their widest cell, without blanks at the end', async (t) => {
  t.equal(
    tableText(
      ['A', 'LONG'],
      [
        ['wider', '1'],
        ['x', ''],
      ],
    ),
    'A      LONG\nwider  1\nx',
  )
  t.equal(tableText(['A', 'B'], []), 'A  B')
})

t.test('an expected failure is one line, a bug comes with its stack', async (t) => {
  t.equal(failureLine(new StoreError('NOT_OWNER', 'ask pollux')), 'pollux: ask pollux')
  t.match(failureLine(new AssertionFailure('broken')), /broken\n +at /)
})

t.test('wrong usage ends with 2, all else with 1', async (t) => {
  t.equal(exitCodeOf(new StoreError('USAGE', '')), 2)
  t.equal(exitCodeOf(new StoreError('NOT_READY', '')), 1)
  t.equal(exitCodeOf(new Error('')), 1)
})
