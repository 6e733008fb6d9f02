import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { TlsConfig } from '../config/node-config.ts'
import type { ExportCatalog } from '../nbd/export.ts'
import { AllowedCatalogue } from './catalogue.ts'
import type { EventLog } from './events.ts'
import { peerText } from './sockets.ts'
import { type TlsFiles, validity } from './tls-files.ts'
import { namesOf } from './tls-names.ts'
import { TlsProxies } from './tls-proxy.ts'
import { TlsTurns } from './tls-turns.ts'

/** A client with whom TLS stands. */
export interface SecuredClient {
  /** its certificate's first name, for people */
  readonly name: string
  /** what it may see */
  readonly catalogue: ExportCatalog
  /** why it gets nothing, if its certificate is no good */
  readonly barred: string | undefined
}

/** Who comes in over TLS, and to which volumes. */
export class TlsGate {
  readonly stage: 'offered' | 'required'
  readonly proxies = new TlsProxies()
  readonly turns = new TlsTurns()
  readonly #files: TlsFiles
  readonly #volumes: TlsConfig['volumesByClient']
  readonly #events: EventLog

  constructor({ required, volumesByClient }: TlsConfig, files: TlsFiles, events: EventLog) {
    this.stage = required ? 'required' : 'offered'
    this.#files = files
    this.#volumes = volumesByClient
    this.#events = events
  }

  /**
   * Begins TLS on a connection that nothing more is read from, and calls `secured` when it stands. A
   * failure closes the socket that is returned, and is told in the log; alerts to the client are TLS's own.
   *
   * A client whose certificate is no good is not turned away by TLS: it would see a number at most, and with
   * TLS 1.3 only after it believes that all went well. It is let in to hear why, and to nothing else.
   */
  begin(socket: Socket, catalogue: ExportCatalog, secured: (client: SecuredClient) => void): TLSSocket {
    const peer = peerText(socket)
    // the descriptor of a client on its way to an engine has this from `takeSocket`
    socket.setKeepAlive(true, 30_000)
    const options = {
      isServer: true,
      secureContext: this.#files.current(this.#replaced),
      requestCert: true,
      rejectUnauthorized: false,
    }
    const tls = new TLSSocket(socket, options)
    let failure: string | undefined
    let stands = false
    tls.on('error', (error) => {
      failure ??= reasonOf(error)
    })
    tls.once('end', () => {
      failure ??= 'it has ended the connection'
    })
    tls.once('close', () => {
      // without a reason it was this node that had no more use for the client
      if (!stands && failure !== undefined) this.#tell(peer, `TLS could not begin: ${failure}`)
    })
    tls.once('secure', () => {
      stands = true
      secured(this.#judge(tls, peer, catalogue))
    })
    return tls
  }

  #replaced = (failure: string | undefined): void => {
    if (failure === undefined) this.#events.add('info', 'tls-files', 'the files of TLS have been replaced')
    else this.#events.add('error', 'tls-files', `the files of TLS were replaced, and stay unused: ${failure}`)
  }

  #judge(tls: TLSSocket, peer: string, catalogue: ExportCatalog): SecuredClient {
    const certificate = tls.getPeerX509Certificate()
    const barred = mistakeIn(certificate, verifyErrorOf(tls))
    const names = certificate === undefined ? [] : namesOf(certificate)
    const name = names[0] ?? 'nameless'
    if (barred !== undefined) {
      this.#tell(peer, barred)
      return { name, barred, catalogue: new AllowedCatalogue(catalogue, []) }
    }
    if (!this.#volumes) return { name, barred, catalogue }
    const allowed = names.flatMap((one) => this.#volumes!.get(one) ?? [])
    if (allowed.length === 0) {
      const known = names.map((one) => JSON.stringify(one)).join(', ')
      this.#tell(peer, `no tls.client has one of the names of its certificate (${known}): it sees no volume`)
    }
    return { name, barred, catalogue: new AllowedCatalogue(catalogue, allowed) }
  }

  #tell(peer: string, reason: string): void {
    // whoever knocks at all ports must not push out other events
    this.#events.addSparingly('warn', 'tls-refused', `client ${peer}: ${reason}`, { facts: { peer } })
  }
}

/** What is wrong with a client's certificate, in words for both sides. */
function mistakeIn(certificate: X509Certificate | undefined, code: string | undefined): string | undefined {
  if (!certificate)
    return 'a client needs a certificate that the authority of this node has signed, and has sent none such'
  if (code === undefined) return undefined
  const whose = `the certificate of ${JSON.stringify(namesOf(certificate)[0] ?? certificate.subject)}`
  const outOfDate = validity(certificate, Date.now())
  if (outOfDate !== '') return `${whose} ${outOfDate}`
  if (code === 'INVALID_PURPOSE') return `${whose} is not meant for clients (no clientAuth in it)`
  return `${whose} is not signed by the authority that this node trusts (${code})`
}

/** Why OpenSSL would refuse the peer's certificate; node has a public name for it only in its server. */
function verifyErrorOf(tls: TLSSocket): string | undefined {
  type Handle = { verifyError(): (Error & { code: string }) | null }
  const handle = (tls as unknown as { _handle?: Handle | null })._handle
  return handle ? handle.verifyError()?.code : 'GONE'
}

/** OpenSSL's words without its numbers and places. */
function reasonOf(error: Error & { reason?: string; code?: string }): string {
  return error.reason ?? error.message
}
