import { networkInterfaces } from 'node:os'
import t from 'tap'
import { isThisHost } from '../../../ts/node/this-host.ts'

t.test('loopback and the addresses of interfaces are of this host, others are not', async (t) => {
  for (const host of ['127.0.0.1', '127.0.0.2', '::1', 'localhost']) t.ok(isThisHost(host), host)
  for (const { address } of Object.values(networkInterfaces()).flatMap((all) => all ?? []))
    t.ok(isThisHost(address), address)
  for (const host of ['192.0.2.1', '2001:db8::1', '127.example.com', 'example.com'])
    t.notOk(isThisHost(host), host)
})
