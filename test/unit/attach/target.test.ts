import t from 'tap'
import { identityOf, type Names, parseTarget } from '../../../ts/attach/target.ts'
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
    ['nbds://store/vol0?tls-certificates=pki', /the whole path of a folder/],
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

/** A host that knows these names. */
const names: Names = {
  addressesOf: async (host) => {
    const known: Record<string, string[]> = {
      localhost: ['::1', '127.0.0.1'],
      store: ['10.0.0.9'],
      both: ['fd00::9', '10.0.0.9'],
    }
    return known[host] ?? (/^[0-9.:a-f]+$/.test(host) ? [host] : Promise.reject(new Error('ENOTFOUND')))
  },
  realPath: async (path) => path.replace('/var/run/', '/run/'),
}
const of = (text: string) => identityOf(parseTarget(text), names)

t.test('a volume has one identity, in letters that are good for a folder', async (t) => {
  t.match(await of('nbd://store/a%2F..%2Fb'), /^a____b-[0-9a-f]{12}$/)
  t.equal(await of('nbd://store/v'), await of('nbd://store:10809/v'))
  t.not(await of('nbd://store/a%2Fb'), await of('nbd://store/a_b'))
  t.not(await of('nbd://store/v'), await of('nbd://other/v'))
})

t.test('a place has one identity, whatever it is called', async (t) => {
  for (const same of ['127.0.0.1', '[::1]', '127.0.0.2', '[::ffff:127.0.0.1]']) {
    t.equal(await of(`nbd://localhost/v`), await of(`nbd://${same}/v`), same)
  }
  t.equal(await of('nbd://store/v'), await of('nbd://10.0.0.9/v'))
  t.equal(await of('nbd://store/v'), await of('nbd://both/v'))
  t.equal(await of('nbd+unix:///v?socket=/var/run/x'), await of('nbd+unix:///v?socket=/run/x'))
  t.not(await of('nbd://store/v'), await of('nbd://store:10810/v'))
  t.not(await of('nbd://store/v'), await of('nbd+unix:///v?socket=/run/x'))
  const real = 'nbd+unix:///v?socket=/none/there'
  t.equal(await identityOf(parseTarget(real)), await of(real), 'a socket that is not there')
})
