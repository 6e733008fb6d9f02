import t from 'tap'
import { identityFromText, identityText, sameIdentity } from '../../../ts/format/identity.ts'

const identity = Uint8Array.from({ length: 16 }, (_, i) => i * 17)
const written = '00112233-4455-6677-8899-aabbccddeeff'

t.test('an identity is written as people know it, and read back', async (t) => {
  t.equal(identityText(identity), written)
  t.same(identityFromText(written), identity)
  t.same(identityFromText(written.replaceAll('-', '')), identity)
})

t.test('a text that is no identity is none', async (t) => {
  for (const text of ['', written.slice(1), `${written}0`, written.replace('a', 'g'), written.toUpperCase()])
    t.equal(identityFromText(text), undefined, text)
})

t.test('identities are the same when every byte is', async (t) => {
  t.ok(sameIdentity(identity, identity.slice()))
  for (let i = 0; i < 16; i += 1) t.notOk(sameIdentity(identity, identity.with(i, 1)))
  t.notOk(sameIdentity(identity, identity.subarray(1)))
})
