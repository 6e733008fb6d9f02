import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'

export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface CertificateOptions {
  /** who signs it; itself without one */
  readonly by?: KeyPair
  /** from now on; -1 has expired */
  readonly days?: number
  readonly purpose?: 'authority' | 'server' | 'client'
  /** as openssl writes them: `DNS:vm1` */
  readonly names?: readonly string[]
}

const extensions = {
  authority: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'],
  server: ['basicConstraints=critical,CA:FALSE', 'keyUsage=digitalSignature', 'extendedKeyUsage=serverAuth'],
  client: ['basicConstraints=critical,CA:FALSE', 'keyUsage=digitalSignature', 'extendedKeyUsage=clientAuth'],
}

/** What separates the parts of a subject is part of the name here. */
const subjectOf = (name: string): string => `/O=pollux test/CN=${name.replace(/[+/=\\]/g, '\\$&')}`

const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: 'pipe' })

/** Certificates as an operator makes them, with openssl, in a folder that is gone when the test ends. */
export class Certificates {
  readonly folder: string
  readonly authority: KeyPair
  /** for 127.0.0.1, ::1 and localhost */
  readonly server: KeyPair
  #count = 0

  constructor(t: Test) {
    this.folder = mkdtempSync(path.join(tmpdir(), 'pollux-tls-'))
    t.teardown(() => rmSync(this.folder, { recursive: true, force: true }))
    this.authority = this.issue('an authority', { purpose: 'authority' })
    const names = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1']
    this.server = this.issue('castor and pollux', { by: this.authority, purpose: 'server', names })
  }

  issue(name: string, options: CertificateOptions = {}): KeyPair {
    const { by, days = 30, purpose = 'client', names = [] } = options
    this.#count += 1
    const file = (suffix: string) => path.join(this.folder, `${this.#count}.${suffix}`)
    const [key, request, certificate] = [file('key.pem'), file('csr'), file('pem')]
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl('req', '-new', ...curve, '-keyout', key, '-out', request, '-subj', subjectOf(name))
    const lines = [...extensions[purpose], ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : [])]
    writeFileSync(file('ext'), lines.join('\n'))
    const signer = by
      ? ['-CA', by.certificate, '-CAkey', by.key, '-CAcreateserial']
      : ['-signkey', key, '-set_serial', String(this.#count)]
    const validity = ['-days', String(days), '-extfile', file('ext')]
    openssl('x509', '-req', '-in', request, '-out', certificate, ...signer, ...validity)
    return { certificate, key }
  }

  /** The folder of a client, with files named as libnbd and QEMU look for them. */
  folderOf(client?: KeyPair, authority: KeyPair = this.authority): string {
    this.#count += 1
    const folder = path.join(this.folder, `client-${this.#count}`)
    mkdirSync(folder)
    copyFileSync(authority.certificate, path.join(folder, 'ca-cert.pem'))
    if (client) {
      copyFileSync(client.certificate, path.join(folder, 'client-cert.pem'))
      copyFileSync(client.key, path.join(folder, 'client-key.pem'))
    }
    return folder
  }
}
