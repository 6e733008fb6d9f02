import { once } from 'node:events'
import net from 'node:net'
import { Command, EXTENDED_REQUEST_BYTE_LENGTH, REQUEST_BYTE_LENGTH } from '../../ts/format/nbd.ts'
import type { Refusal } from '../../ts/nbd/errors.ts'
import type { ExportCatalog } from '../../ts/nbd/export.ts'
import { Handshake } from '../../ts/nbd/handshake.ts'
import { contexts, extentFlags } from '../../ts/nbd/meta-context.ts'
import * as reply from '../../ts/nbd/reply.ts'
import { RequestReader } from '../../ts/nbd/transmission.ts'
import { type SessionLimits, validate } from '../../ts/nbd/validate.ts'
import { ByteChannel } from './nbd-channel.ts'

export interface MemoryServer {
  readonly port: number
  /** sockets that are open now */
  readonly openCount: () => number
  readonly close: () => Promise<void>
}

/**
 * The protocol code of ts/nbd behind plain sockets, with one array per export name as its store: as
 * little as can be between a real client and the code under test.
 */
export async function startMemoryServer(catalog: ExportCatalog): Promise<MemoryServer> {
  const stores = new Map<string, Uint8Array>()
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    shakeHands(socket, catalog, stores)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  }
  return { port, openCount: () => sockets.size, close }
}

function shakeHands(socket: net.Socket, catalog: ExportCatalog, stores: Map<string, Uint8Array>): void {
  const handshake = new Handshake(catalog)
  socket.write(handshake.greeting())
  const onData = (bytes: Buffer) => {
    const step = handshake.feed(bytes)
    if (step.send.length > 0) socket.write(step.send)
    if (step.kind === 'more') return
    socket.off('data', onData)
    if (step.kind !== 'transmission') return void socket.end()
    const { name, byteLength, readOnly } = step.exportInfo
    const store = stores.get(name) ?? new Uint8Array(byteLength)
    stores.set(name, store)
    const channel = new ByteChannel(socket)
    socket.unshift(Buffer.from(step.leftover))
    const { structuredReplies, extendedHeaders: extended, contexts } = step.terms
    const structured = structuredReplies || extended
    void serve(channel, store, { byteLength, readOnly, structured, extended, contexts })
  }
  socket.on('data', onData)
}

async function serve(channel: ByteChannel, store: Uint8Array, limits: SessionLimits): Promise<void> {
  const request = new RequestReader()
  try {
    for (;;) {
      const header = await channel.take(limits.extended ? EXTENDED_REQUEST_BYTE_LENGTH : REQUEST_BYTE_LENGTH)
      const view = new DataView(header.buffer, header.byteOffset, header.length)
      const isRequest = limits.extended ? request.readExtended(view, 0) : request.read(view, 0)
      if (!isRequest || request.command === Command.DISC) break
      const payload = await channel.take(request.payloadLength)
      const refusal = validate(request, limits)
      if (refusal === undefined) apply(request, store, payload)
      for (const piece of answer(request, store, limits, refusal)) channel.send(piece)
    }
  } catch {
    // the client has gone
  }
  channel.socket.end()
}

function apply(request: RequestReader, store: Uint8Array, payload: Uint8Array): void {
  const { command, offset, length } = request
  if (command === Command.WRITE) store.set(payload, offset)
  if (command === Command.TRIM || command === Command.WRITE_ZEROES) store.fill(0, offset, offset + length)
}

function answer(
  request: RequestReader,
  store: Uint8Array,
  limits: SessionLimits,
  refusal: Refusal | undefined,
): Uint8Array[] {
  const header = new Uint8Array(256)
  const view = new DataView(header.buffer)
  const { offset, length } = request
  const { extended } = limits
  const isRead = request.command === Command.READ && refusal === undefined && length > 0
  const data = isRead ? store.slice(offset, offset + length) : new Uint8Array(0)
  if (!limits.structured) {
    return [header.subarray(0, reply.encodeSimpleReply(view, 0, request, refusal?.error ?? 0)), data]
  }
  if (refusal !== undefined) {
    const { error, text } = refusal
    return [header.subarray(0, reply.encodeErrorChunk(view, 0, request, extended, error, text))]
  }
  if (request.command === Command.BLOCK_STATUS) return [status(request, limits)]
  if (!isRead) return [header.subarray(0, reply.encodeDone(view, 0, request, extended))]
  if (data.every((byte) => byte === 0)) {
    const byteLength = reply.encodeOffsetHole(view, 0, request, extended, offset, length, true)
    return [header.subarray(0, byteLength)]
  }
  const byteLength = reply.encodeOffsetData(view, 0, request, extended, offset, length, true)
  return [header.subarray(0, byteLength), data]
}

/** Everything is data. */
function status(request: RequestReader, { extended, contexts: selected }: SessionLimits): Uint8Array {
  const bytes = new Uint8Array(256)
  const view = new DataView(bytes.buffer)
  const named = contexts.filter((context) => (selected & context) !== 0)
  let at = 0
  for (const [index, context] of named.entries()) {
    at += reply.encodeBlockStatus(view, at, request, extended, context, 1, index === named.length - 1)
    at += reply.encodeExtent(view, at, extended, request.length, extentFlags(context, true))
  }
  return bytes.subarray(0, at)
}
