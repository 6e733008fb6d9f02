import t from 'tap'
import { GenericNetlink, NetlinkRefusal } from '../../../ts/adapters/netlink.ts'

t.test('the kernel tells its families, each by name', async (t) => {
  const netlink = new GenericNetlink()
  const control = netlink.family('nlctrl')
  t.equal(control?.id, 16)
  t.type(control?.groups.get('notify'), 'number')
  t.equal(netlink.family('of-no-kernel'), undefined)
  netlink.close()
})

t.test('a request that the kernel refuses says which error it is', async (t) => {
  const netlink = new GenericNetlink()
  try {
    netlink.request(16, 200, [])
    t.fail('it was taken')
  } catch (error) {
    t.ok(error instanceof NetlinkRefusal)
    t.match(error, { errno: 95, message: 'the kernel says ENOTSUP' })
  }
  netlink.close()
})

t.test('a wait for messages of a group ends, when there are none', async (t) => {
  const netlink = new GenericNetlink(20)
  const { id, groups } = netlink.family('nlctrl')!
  netlink.join(groups.get('notify')!)
  t.same(await netlink.receive(id), [])
  netlink.close()
})
