import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { type NodeConfig, parseNodeConfig } from '../../../ts/config/node-config.ts'

const identity = (digit: string): string => digit.repeat(32)
const node = `pair = "${identity('a')}"
node = { name = "castor", identity = "${identity('1')}" }
partner = { name = "pollux", identity = "${identity('2')}", link = "127.0.0.1:20002" }
nvram = { directory = "/dev/shm/castor" }
arbiter = { kind = "file", directory = "/var/lib/pollux/arbiter" }
link = { listen = "127.0.0.1:20001" }
api = { socket = "/run/pollux/castor.sock" }
[[aggregate]]
name = "one"
identity = "${identity('3')}"
home = "castor"
disks = ["/dev/one"]
service = "127.0.0.1:10809"
`
const files = `[tls]
certificate = "/etc/pollux/castor.pem"
key = "/etc/pollux/castor-key.pem"
authority = "/etc/pollux/authority.pem"
`
const client = (name: string, ...volumes: string[]): string =>
  `[[tls.client]]\nname = ${JSON.stringify(name)}\nvolumes = ${JSON.stringify(volumes)}\n`

function parsed(tls: string): NodeConfig['tls'] {
  return parseNodeConfig(node + tls, 'node.toml').tls
}

function mistakesOf(tls: string): string[] {
  try {
    parsed(tls)
    return []
  } catch (error) {
    if (!isStoreError(error, 'CONFIG_INVALID')) throw error
    return error.message.split('\n')
  }
}

t.test('without a table there is no TLS', async (t) => {
  t.equal(parsed(''), undefined)
})

t.test('with a table TLS is required, and every client may open everything', async (t) => {
  t.same(parsed(files), {
    certificate: '/etc/pollux/castor.pem',
    key: '/etc/pollux/castor-key.pem',
    authority: '/etc/pollux/authority.pem',
    required: true,
    volumesByClient: undefined,
  })
  t.equal(parsed(`${files}required = false\n`)?.required, false)
})

t.test('clients have their volumes', async (t) => {
  const tls = parsed(files + client('vm1', 'vol0', 'vol1') + client('CN with, signs', 'vol0'))
  t.same(
    [...(tls?.volumesByClient ?? [])],
    [
      ['vm1', ['vol0', 'vol1']],
      ['CN with, signs', ['vol0']],
    ],
  )
})

t.test('what is missing, unknown or of a wrong shape is named', async (t) => {
  t.same(mistakesOf('[tls]\ncertificate = "/x"\n'), [
    'node.toml:14: tls.key is missing',
    'node.toml:14: tls.authority is missing',
  ])
  t.same(mistakesOf(`${files}ca = "/x"\n`), ['node.toml:18: tls.ca is not a known key'])
  t.same(mistakesOf(`${files}required = "yes"\n`), ['node.toml:18: tls.required must be boolean'])
  t.same(mistakesOf(`${files}[[tls.client]]\nname = "vm1"\n`), [
    'node.toml:18: tls.client[0].volumes is missing',
  ])
  t.same(mistakesOf(files + client('vm1')), ['node.toml:20: tls.client[0].volumes must not be empty'])
  t.same(mistakesOf(files + client('', 'vol0')), ['node.toml:19: tls.client[0].name must not be empty'])
})

t.test('paths are absolute', async (t) => {
  for (const key of ['certificate', 'key', 'authority']) {
    const [mistake, ...more] = mistakesOf(
      files.replace(new RegExp(`^${key} = ".*"`, 'm'), `${key} = "x.pem"`),
    )
    t.match(mistake, `tls.${key} must be an absolute path, not "x.pem"`)
    t.same(more, [])
  }
})

t.test('what contradicts itself is refused, with the remedy', async (t) => {
  t.match(mistakesOf(files + client('vm1', 'vol0') + client('vm2', 'vol0') + client('vm1', 'vol1')), [
    /^node.toml:25: tls.client\[2\].name repeats the name of tls.client\[0\]; list all its volumes there$/,
  ])
  t.match(mistakesOf(`${files}required = false\n${client('vm1', 'vol0')}`), [
    /tls.client has no use with tls.required = false: .*; remove one of them$/,
  ])
})
