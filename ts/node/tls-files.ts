import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import { StoreError } from '../base/errors.ts'
import type { TlsConfig } from '../config/node-config.ts'

type FileKey = 'certificate' | 'key' | 'authority'

/** The files of a node's TLS, which may be replaced while it runs: what is there counts from then on. */
export class TlsFiles {
  readonly #config: TlsConfig
  #context: SecureContext
  #stamp: string

  /** Throws CONFIG_INVALID if there is a mistake in them. */
  constructor(config: TlsConfig) {
    this.#config = config
    this.#stamp = stampOf(config)
    this.#context = loadTlsFiles(config)
  }

  /** For the next connection. A replacement that is no good, or half done, is told once, and not used. */
  current(tell: (failure: string | undefined) => void): SecureContext {
    const stamp = stampOf(this.#config)
    if (stamp === this.#stamp) return this.#context
    this.#stamp = stamp
    try {
      this.#context = loadTlsFiles(this.#config)
      tell(undefined)
    } catch (error) {
      tell((error as Error).message)
    }
    return this.#context
  }
}

/** Changes whenever one of the files does. */
function stampOf({ certificate, key, authority }: TlsConfig): string {
  return [certificate, key, authority]
    .map((path) => {
      try {
        const { ino, size, mtimeMs } = statSync(path)
        return `${ino} ${size} ${mtimeMs}`
      } catch (error) {
        return String((error as NodeJS.ErrnoException).code)
      }
    })
    .join(', ')
}

/**
 * What a node needs for TLS, out of the files that its configuration names. They are looked at when the
 * node starts, so that a mistake in them is told then, and not by clients that cannot connect.
 */
export function loadTlsFiles(config: TlsConfig, nowMs = Date.now()): SecureContext {
  const read = (key: FileKey): string => readPem(config, key)
  const [cert, key, ca] = [read('certificate'), read('key'), read('authority')]
  const own = certificatesIn(config, 'certificate', cert)[0]!
  const outOfDate = validity(own, nowMs)
  if (outOfDate !== '') throw mistake(config, 'certificate', `${outOfDate}; put a valid one there`)
  if (!own.checkPrivateKey(privateKeyIn(config, key))) {
    throw mistake(config, 'key', `does not belong to tls.certificate ${config.certificate}`)
  }
  checkAuthorities(config, certificatesIn(config, 'authority', ca), nowMs)
  // without renegotiation and tickets, a certificate is looked at once in each connection
  const secureOptions = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION
  try {
    return createSecureContext({ cert, key, ca, minVersion: 'TLSv1.2', secureOptions })
  } catch (error) {
    throw mistake(config, 'certificate', `cannot be used: ${(error as Error).message}`)
  }
}

/** Why a certificate does not count at a moment, or an empty text. */
export function validity({ validFrom, validTo }: X509Certificate, nowMs: number): string {
  if (Date.parse(validTo) < nowMs) return `expired on ${validTo}`
  if (Date.parse(validFrom) > nowMs) return `is valid only from ${validFrom}`
  return ''
}

function mistake(config: TlsConfig, key: FileKey, text: string): StoreError {
  return new StoreError('CONFIG_INVALID', `tls.${key} ${config[key]} ${text}`)
}

function readPem(config: TlsConfig, key: FileKey): string {
  try {
    return readFileSync(config[key], 'utf8')
  } catch (error) {
    throw mistake(config, key, `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`)
  }
}

function certificatesIn(config: TlsConfig, key: FileKey, pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw mistake(config, key, 'holds no certificate in PEM form (BEGIN CERTIFICATE)')
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch (error) {
    throw mistake(config, key, `holds a damaged certificate: ${(error as Error).message}`)
  }
}

function privateKeyIn(config: TlsConfig, pem: string): KeyObject {
  if (pem.includes('ENCRYPTED')) {
    throw mistake(
      config,
      'key',
      'is encrypted, and nobody is asked for its passphrase; remove it with openssl pkey',
    )
  }
  try {
    return createPrivateKey(pem)
  } catch {
    throw mistake(config, 'key', 'holds no private key in PEM form (BEGIN PRIVATE KEY)')
  }
}

function checkAuthorities(config: TlsConfig, authorities: readonly X509Certificate[], nowMs: number): void {
  if (!authorities.every(({ ca }) => ca)) {
    throw mistake(config, 'authority', 'holds a certificate that may sign no others (no CA:TRUE in it)')
  }
  const reasons = authorities.map((authority) => validity(authority, nowMs))
  // one that is being replaced may stay beside its successor
  if (reasons.every((reason) => reason !== '')) {
    throw mistake(config, 'authority', `${reasons[0]}; put a valid one there`)
  }
}
