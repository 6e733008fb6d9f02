import t from 'tap'
import { checkMountPoint, parseSignatures } from '../../../ts/attach/file-system.ts'

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
