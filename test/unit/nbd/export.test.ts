import t from 'tap'
import { findExport, transmissionFlags } from '../../../ts/nbd/export.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'

t.test('the empty name stands for the only export', async (t) => {
  t.equal(findExport(catalogOf(exportOf('a')), '')?.name, 'a')
  t.equal(findExport(catalogOf(exportOf('a'), exportOf('b')), ''), undefined)
  t.equal(findExport(catalogOf(), ''), undefined)
  t.equal(findExport(catalogOf(exportOf('a'), exportOf('b')), 'b')?.name, 'b')
})

t.test('flags follow from what the export allows and the session has agreed', async (t) => {
  t.equal(transmissionFlags(exportOf('a'), false), 0xd6d)
  t.equal(transmissionFlags(exportOf('a'), true), 0xded)
  t.equal(transmissionFlags(exportOf('a', { readOnly: true }), false), 0x50f)
})
