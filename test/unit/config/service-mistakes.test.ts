import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { type NodeConfig, parseNodeConfig } from '../../../ts/config/node-config.ts'

const identity = (digit: string): string => digit.repeat(32)
const node = `pair = "${identity('a')}"
node = { name = "castor", identity = "${identity('1')}" }
partner = { name = "pollux", identity = "${identity('2')}", link = "10.0.0.2:10800" }
nvram = { directory = "/dev/shm/castor" }
arbiter = { kind = "file", directory = "/srv/arbiter" }
link = { listen = "10.0.0.1:10800" }
api = { socket = "/run/pollux/castor.sock" }
`
const aggregate = (digit: string, ...more: string[]): string =>
  `[[aggregate]]
name = "a${digit}"
identity = "${identity(digit)}"
home = "castor"
disks = ["/dev/disk${digit}"]
${more.join('\n')}
`
const service = (address: string): string => `service = "${address}"`
const eth0 = 'interface = "eth0"'

function interfaces(...aggregates: string[]): (object | undefined)[] {
  const config: NodeConfig = parseNodeConfig(node + aggregates.join(''), 'node.toml')
  return config.aggregates.map(({ serviceInterface }) => serviceInterface)
}

/** What is said, without the places; each has to name the file and a line. */
function mistakesOf(...aggregates: string[]): string[] {
  try {
    interfaces(...aggregates)
    return []
  } catch (error) {
    if (!isStoreError(error, 'CONFIG_INVALID')) throw error
    return error.message.split('\n').map((line) => line.replace(/^node\.toml:\d+: /, ''))
  }
}

t.test(
  'an address stays where it is without an interface, and is alone on one without a prefix',
  async (t) => {
    t.same(interfaces(aggregate('3', service('10.0.0.10:10809'))), [undefined])
    t.same(interfaces(aggregate('3', service('10.0.0.10:10809'), eth0)), [{ name: 'eth0', prefixLength: 32 }])
    t.same(interfaces(aggregate('3', service('[fd00::10]:10809'), eth0)), [
      { name: 'eth0', prefixLength: 128 },
    ])
    t.same(interfaces(aggregate('3', service('10.0.0.10:10809'), eth0, 'prefix_length = 24')), [
      { name: 'eth0', prefixLength: 24 },
    ])
    t.same(interfaces(aggregate('3', service('10.0.0.255:10809'), eth0, 'prefix_length = 31')), [
      { name: 'eth0', prefixLength: 31 },
    ])
    t.same(interfaces(aggregate('3', service('10.0.0.255:10809'), eth0)), [
      { name: 'eth0', prefixLength: 32 },
    ])
  },
)

t.test('aggregates of one home may share an address, at one port or at several', async (t) => {
  const [one, other] = [service('[fd00::10]:10809'), service('[FD00:0::10]:10810')]
  t.same(mistakesOf(aggregate('3', one, eth0), aggregate('4', one, eth0)), [])
  t.same(mistakesOf(aggregate('3', one, eth0), aggregate('4', other, eth0)), [])
})

const cannot = (host: string): string =>
  `aggregate[0].service cannot be set on an interface: ${host} is not the address of one host in its network`

const mistakes: readonly (readonly [what: string, mistake: string, ...aggregates: string[]])[] = [
  [
    'a name',
    'aggregate[0].service must be an address in numbers to be set on an interface, not storage.example',
    aggregate('3', service('storage.example:10809'), eth0),
  ],
  ['all addresses', cannot('0.0.0.0'), aggregate('3', service('0.0.0.0:10809'), eth0)],
  [
    'the address of the network',
    'aggregate[0].service cannot be set on an interface: with prefix_length 24, 10.0.0.0 is the address of the ' +
      'network itself',
    aggregate('3', service('10.0.0.0:10809'), eth0, 'prefix_length = 24'),
  ],
  [
    'the address of all in the network',
    'aggregate[0].service cannot be set on an interface: with prefix_length 20, 10.0.15.255 is the one for all ' +
      'hosts of the network',
    aggregate('3', service('10.0.15.255:10809'), eth0, 'prefix_length = 20'),
  ],
  ['the loopback', cannot('127.0.0.1'), aggregate('3', service('127.0.0.1:10809'), eth0)],
  ['many hosts', cannot('239.0.0.1'), aggregate('3', service('239.0.0.1:10809'), eth0)],
  ['a link-local one', cannot('fe80::1'), aggregate('3', service('[fe80::1]:10809'), eth0)],
  ['all, in IPv6', cannot('::'), aggregate('3', service('[::]:10809'), eth0)],
  ['IPv4 in IPv6', cannot('::ffff:a00:1'), aggregate('3', service('[::ffff:10.0.0.1]:10809'), eth0)],
  [
    'the address of the link',
    'aggregate[0].service moves between the nodes, so link.listen needs another address',
    aggregate('3', service('10.0.0.1:10809'), eth0),
  ],
  [
    'the address of the partner',
    'aggregate[0].service moves between the nodes, so partner.link needs another address',
    aggregate('3', service('10.0.0.2:10809'), eth0),
  ],
  [
    'a long interface',
    'aggregate[0].interface must be the name of an interface, as "eth0", not "an-interface-too-long"',
    aggregate('3', service('10.0.0.10:10809'), 'interface = "an-interface-too-long"'),
  ],
  [
    'a folder',
    'aggregate[0].interface must be the name of an interface, as "eth0", not ".."',
    aggregate('3', service('10.0.0.10:10809'), 'interface = ".."'),
  ],
  [
    'a prefix that is too long',
    'aggregate[0].prefix_length must be at most 32 for 10.0.0.10',
    aggregate('3', service('10.0.0.10:10809'), eth0, 'prefix_length = 64'),
  ],
  [
    'a prefix alone',
    'aggregate[0].prefix_length has no meaning without interface',
    aggregate('3', service('10.0.0.10:10809'), 'prefix_length = 24'),
  ],
  [
    'one interface of two',
    'aggregate[1].interface is missing: a3 has the same address, 10.0.0.10, and sets it on eth0',
    aggregate('3', service('10.0.0.10:10809'), eth0),
    aggregate('4', service('10.0.0.10:10810')),
  ],
  [
    'two interfaces',
    'aggregate[1].service shares 10.0.0.10 with a3: interface and prefix_length must be the same',
    aggregate('3', service('10.0.0.10:10809'), eth0),
    aggregate('4', service('10.0.0.10:10809'), 'interface = "eth1"'),
  ],
  [
    'two homes',
    'aggregate[1].service shares 10.0.0.10 with a3, which has another home; give it an address of its own',
    aggregate('3', service('10.0.0.10:10809'), eth0),
    aggregate('4', service('10.0.0.10:10810'), eth0).replace('home = "castor"', 'home = "pollux"'),
  ],
]

for (const [what, mistake, ...aggregates] of mistakes) {
  t.test(`a service address cannot be or have ${what}`, async (t) => {
    t.same(mistakesOf(...aggregates), [mistake])
  })
}
