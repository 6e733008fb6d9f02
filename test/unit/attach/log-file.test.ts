import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { appendToLog } from '../../../ts/attach/log-file.ts'

t.test('a log keeps its last lines, and does not grow for ever', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pollux-log-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const log = path.join(folder, 'log')
  for (let line = 0; line < 100; line += 1) appendToLog(log, `line ${line}`, 500)
  t.match(readFileSync(log, 'utf8'), /^\d{4}-.*Z line \d+\n(.*\n)*.*line 99\n$/)
  t.ok(statSync(log).size + statSync(`${log}.old`).size <= 1200)
  appendToLog(path.join(folder, 'none', 'there'), 'a log that cannot be written is no failure')
})
