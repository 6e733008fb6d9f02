import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { folderOf } from '../../../ts/attach/attachments.ts'
import { clearRemains, keepersOf } from '../../../ts/attach/remains.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'pollux-remains-'))
process.env['POLLUX_ATTACH_DIR'] = folder
t.teardown(() => rmSync(folder, { recursive: true }))

t.test('those that keep a device are found, and not those that read its log', async (t) => {
  const words = {
    1: ['/usr/bin/node', '/pollux/main.js', 'attach-watch', '/run/a/vol0-1', '{}'],
    2: ['/usr/bin/node', '/pollux/main.js', 'attach-watch', '/run/a/vol0-12', '{}'],
    3: ['/usr/bin/qemu-storage-daemon', '--pidfile', '/run/a/vol0-1/storage-daemon.pid'],
    4: ['qemu-storage-daemon', '--pidfile', '/run/a/vol0-12/storage-daemon.pid'],
    5: ['tail', '-f', '/run/a/vol0-1/log'],
    6: ['tail', '-f', '/run/a/vol0-1/storage-daemon.pid'],
    7: ['ls', '/run/a/vol0-1'],
    8: [],
  }
  const processes = Object.entries(words).map(([pid, words]) => ({ pid: Number(pid), words }))
  t.same(keepersOf('/run/a/vol0-1', processes), { watchers: [1], daemons: [3] })
})

t.test('the folder of an attach that was killed goes', async (t) => {
  const remains = folderOf('vol0-1')
  mkdirSync(remains)
  for (const name of ['volume', 'log', 'storage-daemon.pid']) writeFileSync(path.join(remains, name), '')
  await clearRemains('vol0-1')
  t.notOk(existsSync(remains))
  await clearRemains('vol0-1')
})
