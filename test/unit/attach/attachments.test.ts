import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import {
  type Attachment,
  folderOf,
  isKept,
  listAttachments,
  lockAttachments,
  readAttachment,
  removeAttachment,
  writeAttachment,
} from '../../../ts/attach/attachments.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'pollux-attachments-'))
process.env['POLLUX_ATTACH_DIR'] = path.join(folder, 'attached')
t.teardown(() => rmSync(folder, { recursive: true }))

const attachment: Attachment = {
  version: 1,
  identity: 'vol0-1',
  volume: 'vol0',
  uri: 'nbd://store/vol0',
  way: 'nbd',
  device: '/dev/nbd3',
  byteLength: 4096,
  isReadOnly: false,
  connections: 1,
  outageS: 60,
  connectorPid: null,
  pid: process.pid,
  fileSystem: null,
  mountPoint: null,
}

t.test('what is attached is remembered until it is removed', async (t) => {
  t.same(listAttachments(), [], 'a host that has never attached anything')
  const release = await lockAttachments()
  mkdirSync(folderOf('vol0-1'))
  writeAttachment(attachment)
  t.same(readAttachment('vol0-1'), attachment)
  t.same(listAttachments(), [attachment], 'the file of the lock is none')
  t.notOk(isKept(attachment), 'a process with other arguments is not its own')
  removeAttachment('vol0-1')
  t.same(listAttachments(), [])
  release()
})

t.test('one command at a time', async (t) => {
  const release = await lockAttachments()
  let isOver = false
  const second = lockAttachments().then((releaseSecond) => {
    t.ok(isOver, 'the second one has waited')
    releaseSecond()
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  isOver = true
  release()
  await second
})

t.test('a file that this program did not write is named', async (t) => {
  mkdirSync(folderOf('vol0-1'), { recursive: true })
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    JSON.stringify({ ...attachment, version: 2 }),
    JSON.stringify({ ...attachment, identity: 'vol0-2' }),
    JSON.stringify({ ...attachment, device: '/dev/sda' }),
    JSON.stringify({ ...attachment, device: '/dev/nbd0/../sda' }),
    JSON.stringify({ ...attachment, pid: '1' }),
    JSON.stringify({ ...attachment, connectorPid: undefined }),
    JSON.stringify({ ...attachment, uri: 7 }),
  ]) {
    writeFileSync(path.join(folderOf('vol0-1'), 'state.json'), text)
    t.throws(() => readAttachment('vol0-1'), { code: 'ATTACH_FAILED', message: /state\.json is not what/ })
  }
})
