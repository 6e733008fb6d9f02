import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import type { TlsConfig } from '../../../ts/config/node-config.ts'
import { loadTlsFiles } from '../../../ts/node/tls-files.ts'
import { Certificates } from '../../support/certificates.ts'

const certificates = new Certificates(t)
const { authority, server } = certificates
const good: TlsConfig = {
  ...server,
  authority: authority.certificate,
  required: true,
  volumesByClient: undefined,
}
const DAY_MS = 24 * 3_600_000

function mistakeOf(change: Partial<TlsConfig>, nowMs?: number): string {
  try {
    loadTlsFiles({ ...good, ...change }, nowMs)
    return ''
  } catch (error) {
    if (!isStoreError(error, 'CONFIG_INVALID')) throw error
    return error.message
  }
}

function fileWith(text: string): string {
  const file = path.join(certificates.folder, `text-${Math.abs(text.length)}.pem`)
  writeFileSync(file, text)
  return file
}

t.test('files that fit are taken', async (t) => {
  t.equal(mistakeOf({}), '')
})

t.test('each mistake names the key, the file and what to do', async (t) => {
  const nowhere = path.join(certificates.folder, 'nowhere.pem')
  for (const key of ['certificate', 'key', 'authority'] as const) {
    t.equal(mistakeOf({ [key]: nowhere }), `tls.${key} ${nowhere} cannot be read (ENOENT)`)
    t.match(mistakeOf({ [key]: certificates.folder }), /cannot be read \(EISDIR\)/)
    const noPem = fileWith('not what anybody wants')
    t.match(mistakeOf({ [key]: noPem }), new RegExp(`^tls.${key} ${noPem} holds no .* in PEM form`))
  }
  const damaged = fileWith('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  t.match(mistakeOf({ certificate: damaged }), /^tls.certificate .* holds a damaged certificate/)
  t.match(mistakeOf({ authority: damaged }), /^tls.authority .* holds a damaged certificate/)
  t.equal(
    mistakeOf({ key: authority.key }),
    `tls.key ${authority.key} does not belong to tls.certificate ${server.certificate}`,
  )
  t.match(mistakeOf({ authority: server.certificate }), /^tls.authority .* may sign no others/)
})

t.test('a key with a passphrase is refused, and the remedy named', async (t) => {
  const encrypted = path.join(certificates.folder, 'encrypted.pem')
  execFileSync('openssl', ['pkey', '-in', server.key, '-aes256', '-passout', 'pass:x', '-out', encrypted])
  t.match(mistakeOf({ key: encrypted }), /is encrypted, .* remove it with openssl pkey/)
})

t.test('certificates that are out of date are refused, with the date', async (t) => {
  const inAYear = Date.now() + 365 * DAY_MS
  t.match(mistakeOf({}, inAYear), /^tls.certificate .* expired on \w+ .* GMT; put a valid one there/)
  t.match(mistakeOf({}, Date.now() - 5 * DAY_MS), /^tls.certificate .* is valid only from/)
  const old = certificates.issue('an old authority', { purpose: 'authority', days: -1 })
  t.match(mistakeOf({ authority: old.certificate }), /^tls.authority .* expired on/)
})

t.test('an old authority may stay beside its successor', async (t) => {
  const old = certificates.issue('an old authority', { purpose: 'authority', days: -1 })
  const both = [old, authority].map(({ certificate }) => readFileSync(certificate, 'utf8')).join('\n')
  t.equal(mistakeOf({ authority: fileWith(both) }), '')
})
