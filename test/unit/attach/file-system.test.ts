import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import {
  checkBlank,
  checkMountPoint,
  parseSignatures,
  READ_BYTE_LENGTH_MAX,
} from '../../../ts/attach/file-system.ts'

t.test('what wipefs finds is read, each type once', async (t) => {
  t.same(parseSignatures('\next4\n'), ['ext4'])
  t.same(parseSignatures('# TYPE\ngpt\ngpt\nPMBR\n'), ['gpt', 'PMBR'])
  t.same(parseSignatures(''), [])
})

t.test('a volume is mounted on a folder that nothing is mounted on', async (t) => {
  await t.rejects(checkMountPoint('/proc'), {
    code: 'USAGE',
    message: /something is mounted on \/proc already/,
  })
  await t.rejects(checkMountPoint('/proc/version'), { code: 'USAGE', message: /is no folder/ })
  await t.rejects(checkMountPoint('/none/there'), { code: 'USAGE', message: /make it with mkdir/ })
  await checkMountPoint('/dev/..')
})

const contents = (byteLength: number, isAllZero: boolean | undefined) => ({
  byteLength,
  isAllZero: async () => isAllZero,
})

t.test('a volume with data anywhere gets no file system', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pollux-blank-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const blank = path.join(folder, 'blank')
  const device = path.join(folder, 'device')
  const byteLength = 5 * 2 ** 20
  const bytes = Buffer.alloc(byteLength)
  writeFileSync(blank, bytes)
  bytes[byteLength - 1] = 1
  writeFileSync(device, bytes)
  const holdsData = { code: 'DISK_FOREIGN', message: /holds data that is no file system/ }
  await checkBlank(blank, 'ext4', contents(byteLength, undefined))
  await t.rejects(checkBlank(device, 'ext4', contents(byteLength, undefined)), holdsData, 'it is read')
  await t.rejects(checkBlank(blank, 'ext4', contents(byteLength, false)), holdsData, 'its server tells')
  await checkBlank('/none/there', 'ext4', contents(byteLength, true))
  await t.rejects(checkBlank(blank, 'xfs', contents(READ_BYTE_LENGTH_MAX + 1, undefined)), {
    code: 'DISK_FOREIGN',
    message: /does not tell whether .* run mkfs\.xfs by hand/,
  })
})
