import t from 'tap'
import { addressText, listenText, parseAddress, parseListenAddress } from '../../../ts/config/address.ts'

t.test('addresses are read, and written as they were', async (t) => {
  for (const text of ['127.0.0.1:10809', '[::1]:1', 'store.example.org:65535', '0.0.0.0:0']) {
    const address = parseAddress(text)
    t.ok(address, text)
    t.equal(addressText(address!), text)
  }
  t.same(parseAddress('[::1]:10809'), { host: '::1', port: 10809 })
})

t.test('what is no address is refused', async (t) => {
  for (const text of [
    '',
    '10809',
    ':10809',
    'host',
    'host:',
    'host:65536',
    'host:-1',
    '::1:80',
    'a b:1',
    '[]:1',
  ]) {
    t.equal(parseAddress(text), undefined, JSON.stringify(text))
  }
})

t.test('a place to listen may be a Unix socket, too', async (t) => {
  for (const text of ['127.0.0.1:10809', '[::]:10809', 'unix:/run/pollux/nbd.sock']) {
    t.equal(listenText(parseListenAddress(text)!), text)
  }
  t.same(parseListenAddress('unix:/a b'), { path: '/a b' })
  t.equal(parseListenAddress('unix'), undefined)
})
