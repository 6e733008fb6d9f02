import t from 'tap'
import { identityOf, parseTarget } from '../../../ts/attach/target.ts'
import { isStoreError } from '../../../ts/base/errors.ts'

t.test('NBD URIs are read', async (t) => {
  t.match(parseTarget('nbd://store:1234/vol0'), {
    place: { host: 'store', port: 1234 },
    exportName: 'vol0',
    isTls: false,
  })
  t.match(parseTarget('nbd://[::1]/a%20b'), { place: { host: '::1', port: 10_809 }, exportName: 'a b' })
  t.match(parseTarget('nbd://store'), { exportName: '' })
  t.match(parseTarget('nbd+unix:///vol0?socket=/run/x.sock'), {
    place: { path: '/run/x.sock' },
    exportName: 'vol0',
  })
  t.match(parseTarget('nbds://store/v?tls-certificates=/etc/pki'), { isTls: true, certificates: '/etc/pki' })
})

t.test('what is no NBD URI is wrong usage', async (t) => {
  for (const [text, message] of [
    ['vol0', /not the URI of an NBD export/],
    ['http://store/vol0', /not the URI of an NBD export/],
    ['nbd:///vol0', /names no host/],
    ['nbd://me@store/vol0', /names a user/],
    ['nbd://store/%zz', /a broken %/],
    ['nbd://store/a%00b', /a NUL/],
    [`nbd://store/${'a'.repeat(256)}`, /too long/],
    ['nbd+unix:///vol0', /needs \?socket=/],
    ['nbd+unix:///vol0?socket=x.sock', /needs \?socket=/],
  ] as const) {
    try {
      parseTarget(text)
      t.fail(`${text} was taken`)
    } catch (error) {
      t.ok(isStoreError(error, 'USAGE'), text)
      t.match((error as Error).message, message)
    }
  }
})

t.test('a volume has one identity, in letters that are good for a folder', async (t) => {
  const of = (text: string) => identityOf(parseTarget(text))
  t.match(of('nbd://store/a%2F..%2Fb'), /^a____b-[0-9a-f]{12}$/)
  t.equal(of('nbd://store/v'), of('nbd://store:10809/v'))
  t.not(of('nbd://store/a%2Fb'), of('nbd://store/a_b'))
  t.not(of('nbd://store/v'), of('nbd://other/v'))
})
