import t from 'tap'
import { AssertionFailure } from '../../../ts/base/assert.ts'
import { StoreError } from '../../../ts/base/errors.ts'
import { exitCodeOf, failureLine, printable, tableText } from '../../../ts/cli/output.ts'

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

t.test('a name from the network cannot lead a terminal', async (t) => {
  const led = 'node \x1b[2J\x07\x9b0m\u202e is not the partner'
  t.equal(printable(led), 'node \\u001b[2J\\u0007\\u009b0m\\u202e is not the partner')
  const harmless = 'lines\n\tand Größe 漢字 می\u200cخواهم'
  t.equal(printable(harmless), harmless)
  t.equal(failureLine(new StoreError('NOT_OWNER', 'ask \x1b]0;x')), 'pollux: ask \\u001b]0;x')
  t.same(JSON.parse(printable(JSON.stringify({ led, harmless }))), { led, harmless })
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
