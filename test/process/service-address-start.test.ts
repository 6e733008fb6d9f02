import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { stringify } from 'smol-toml'
import t from 'tap'
import { ORIGIN } from '../../ts/node/service-address.ts'
import { at, Namespace } from '../support/namespaces.ts'
import { commandLine, missing, mustRun, notRoot, run, scratch } from '../support/program.ts'

const PORT = 10809
const skip = notRoot || missing('ip', 'nsenter', 'setpriv')

/** A configuration that is good for nothing but to be started with. */
function settings(folder: string, address: string, device: string): string {
  const identity = (digit: string) => digit.repeat(32)
  const file = path.join(folder, 'castor.toml')
  writeFileSync(
    file,
    stringify({
      pair: identity('a'),
      node: { name: 'castor', identity: identity('1') },
      partner: { name: 'pollux', identity: identity('2'), link: '10.85.0.2:10800' },
      nvram: { directory: '/dev/null/none' },
      arbiter: { kind: 'file', directory: '/dev/null/none' },
      link: { listen: '10.85.0.1:10800' },
      api: { socket: path.join(folder, 'castor.sock') },
      aggregate: [
        {
          name: 'one',
          identity: identity('3'),
          home: 'castor',
          disks: ['/dev/null/none'],
          service: `${address}:${PORT}`,
          interface: device,
        },
      ],
    }),
  )
  return file
}

/** Sets an address as a node does that then dies with its guard. */
async function leave(host: Namespace, address: string, device: string): Promise<void> {
  const adapter = new URL('../../ts/adapters/addresses.js', import.meta.url).href
  const program = `
    const { hostAddresses } = await import('${adapter}')
    const { index } = hostAddresses.stateOf('${device}')
    hostAddresses.set('${address}', { index, prefixLength: 32, origin: ${ORIGIN} }, 600)`
  const [command, ...args] = [...host.enter, process.execPath, '--input-type=module', '-e', program]
  await mustRun(command!, args)
}

t.test('a node that could not set its address does not start, and says what to do', { skip }, async (t) => {
  const folder = scratch(t)
  const host = await Namespace.make()
  t.teardown(() => host.close())
  await at(host, 'ip link add name wire0 type veth peer name wire1')
  await at(host, 'ip link set wire0 up')
  const serve = async (file: string, ...before: string[]): Promise<string> => {
    const node = [process.execPath, commandLine, 'serve', '--config', file]
    const [command, ...args] = [...host.enter, ...before, ...node]
    const { code, stderr } = await run(command!, args)
    t.equal(code, 1)
    return stderr
  }
  const good = settings(folder, '10.85.0.10', 'wire0')
  const bounded = (capability: string) => ['setpriv', '--bounding-set', `-${capability}`]
  for (const capability of ['net_admin', 'net_raw'])
    t.match(
      await serve(good, ...bounded(capability)),
      /10\.85\.0\.10: the node needs CAP_NET_ADMIN and CAP_NET_RAW/,
    )
  t.match(await serve(settings(folder, '10.85.0.10', 'eth7')), /no such interface; it has lo/)
  await at(host, 'ip address add 10.85.0.10/24 dev wire0')
  t.match(
    await serve(settings(folder, '10.85.0.10', 'wire0')),
    /is on this host already, and not set by Pollux/,
  )
  t.match(await at(host, 'ip address show dev wire0'), '10.85.0.10', 'which is left alone')
  await at(host, 'ip address del 10.85.0.10/24 dev wire0')
  await leave(host, '10.85.0.10', 'wire0')
  t.match(
    await serve(settings(folder, '10.85.0.10', 'wire0')),
    /service-address-left[\s\S]*\/dev\/null\/none/,
  )
  t.notMatch(await at(host, 'ip address show dev wire0'), '10.85.0.10', 'left by a dead one, removed first')
  await at(host, 'ip address add 10.85.0.2/24 dev wire0')
  t.match(await serve(good), /cannot move between two nodes on one host/)
})
