import t from 'tap'
import { findExport, transmissionFlags } from '../../../ts/nbd/export.ts'
import { PLAIN_TERMS, type SessionTerms } from '../../../ts/nbd/session-terms.ts'
import { catalogOf, exportOf } from '../../support/nbd-catalog.ts'

t.test('the empty name stands for the only export', async (t) => {
  t.equal(findExport(catalogOf(exportOf('a')), '')?.name, 'a')
  t.equal(findExport(catalogOf(exportOf('a'), exportOf('b')), ''), undefined)
  t.equal(findExport(catalogOf(), ''), undefined)
  t.equal(findExport(catalogOf(exportOf('a'), exportOf('b')), 'b')?.name, 'b')
})

t.test('flags follow from what the export allows and the session has agreed', async (t) => {
  const flags = (readOnly: boolean, terms: Partial<SessionTerms>) =>
    transmissionFlags(exportOf('a', { readOnly }), { ...PLAIN_TERMS, ...terms })
  t.equal(flags(false, {}), 0xd6d)
  t.equal(flags(false, { structuredReplies: true }), 0xded)
  t.equal(flags(true, {}), 0x50f)
  t.equal(flags(true, { structuredReplies: true, contexts: 1 }), 0x58f, 'no payload without its header')
  t.equal(flags(false, { extendedHeaders: true }), 0xded)
  t.equal(flags(false, { extendedHeaders: true, contexts: 1 }), 0x1ded)
})
