import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { daemonWords, isLoopOf, isWrittenBy, loopsOf } from '../../../ts/attach/fuse-device.ts'
import { parseTarget } from '../../../ts/attach/target.ts'

const wish = { folder: '/run/f', isReadOnly: false, outageS: 60 }

t.test('the storage daemon is told to wait, and to repeat what had no answer', async (t) => {
  const words = daemonWords({ ...wish, target: parseTarget('nbd://store:9/a%2Cb') })
  t.same(words.slice(0, 1), ['--blockdev'])
  t.match(JSON.parse(words[1]!), {
    driver: 'nbd',
    server: { type: 'inet', host: 'store', port: '9' },
    export: 'a,b',
    'reconnect-delay': 60,
    cache: { direct: true },
    discard: 'unmap',
    'read-only': false,
  })
  t.match(JSON.parse(words[3]!), { type: 'fuse', mountpoint: '/run/f/volume', writable: true })
  t.same(words.slice(4), ['--pidfile', '/run/f/storage-daemon.pid'])
})

t.test('Unix sockets, TLS and read-only volumes are told, too', async (t) => {
  const uri = 'nbds+unix:///v?socket=/run/x&tls-certificates=/etc/pki'
  const words = daemonWords({ ...wish, isReadOnly: true, target: parseTarget(uri) })
  t.match(JSON.parse(words[1]!), {
    'qom-type': 'tls-creds-x509',
    id: 'tls',
    endpoint: 'client',
    dir: '/etc/pki',
  })
  t.match(JSON.parse(words[3]!), {
    server: { type: 'unix', path: '/run/x' },
    'tls-creds': 'tls',
    'read-only': true,
  })
  t.match(JSON.parse(words[5]!), { writable: false })
})

t.test('a number that another daemon has left does not make this one ready', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pollux-pid-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'storage-daemon.pid')
  t.notOk(isWrittenBy(12, file), 'there is none')
  writeFileSync(file, '12\n')
  t.ok(isWrittenBy(12, file))
  t.notOk(isWrittenBy(1, file))
  t.notOk(isWrittenBy(undefined, file), 'one that did not start')
})

t.test('loop devices of other folders are left alone', async (t) => {
  t.same(loopsOf('/run/pollux-attach/none-there'), [])
  t.notOk(isLoopOf('/dev/loop99999', '/run'))
})
