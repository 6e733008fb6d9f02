import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { chooseNvram, makePrivate } from '../../../ts/cli/pair-nvram.ts'

t.test('each folder of a pair has shared memory of its own, which nobody else can open', async (t) => {
  const one = chooseNvram('/tmp/one', 2 ** 20, true)
  const two = chooseNvram('/tmp/two', 2 ** 20, true)
  t.teardown(() => {
    for (const { directory } of [one, two]) rmSync(directory, { recursive: true })
  })
  t.not(one.directory, two.directory)
  t.equal(chooseNvram('/tmp/one', 2 ** 20, true).directory, one.directory, 'the same one each time')
  t.equal(statSync(one.directory).mode & 0o777, 0o700)
  t.equal(one.logByteLength, 2 ** 20)
  t.equal(one.note, '')
})

t.test('a log that does not fit becomes smaller, unless it was asked for', async (t) => {
  const huge = 2 ** 50
  const chosen = chooseNvram('/tmp/three', huge, false)
  t.teardown(() => rmSync(chosen.directory, { recursive: true }))
  t.ok(chosen.logByteLength < huge)
  t.ok(Number.isInteger(Math.log2(chosen.logByteLength)))
  t.match(chosen.note, /little room: each log has/)
  t.throws(() => chooseNvram('/tmp/three', huge, true), { code: 'NVRAM_FULL', message: /smaller --log-size/ })
})

t.test('a folder that somebody else could have made is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-nvram-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  makePrivate(folder)
  symlinkSync(folder, join(folder, 'link'))
  t.throws(() => makePrivate(join(folder, 'link')), { code: 'NVRAM_UNUSABLE' })
  chmodSync(folder, 0o755)
  t.throws(() => makePrivate(folder), { code: 'NVRAM_UNUSABLE' })
})
