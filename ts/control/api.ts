import { Readable } from 'node:stream'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import { type ErrorCode, isStoreError, StoreError } from '../base/errors.ts'
import type { LogDump } from '../node/messages.ts'
import { ChangeVolume, ConsistencyPoint, CreateVolume, Handover, Scrub, Stop, Takeover } from './bodies.ts'
import type { AggregateRoleChange, AggregateView, NodeControl } from './node-control.ts'
import { aggregateForNewVolume, aggregateNamed, aggregateOfVolume, aggregatesMeant } from './routing.ts'

const QUICK_MS = 10_000
const ROLE_CHANGE_MS = 60_000
const CONSISTENCY_POINT_MS = 300_000
const DUMP_ENTRIES_MAX = 1_000_000

/** Failures that are the asker's or of the moment; all others are 500. */
const httpStatus: Partial<Record<ErrorCode, number>> = {
  USAGE: 400,
  VOLUME_INVALID: 400,
  VOLUME_UNKNOWN: 404,
  VOLUME_EXISTS: 409,
  VOLUME_LIMIT: 409,
  NOT_OWNER: 409,
  TAKEOVER_IMPOSSIBLE: 409,
  GIVEBACK_IMPOSSIBLE: 409,
  NOT_READY: 503,
  STOPPING: 503,
}

/** The control API of one node. It speaks JSON over a socket that only the node's user can open. */
export function createApi(node: NodeControl): FastifyInstance {
  const api = fastify({
    logger: false,
    bodyLimit: 64 * 1024,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true } },
  })
  api.setErrorHandler(sendError)
  api.setNotFoundHandler((request, reply) =>
    sendError(new StoreError('USAGE', `the API has no ${request.method} ${request.url}`), request, reply),
  )
  api.get('/status', () => node.status())
  api.get<{ Querystring: Record<string, string> }>('/events', ({ query }) => ({
    events: node.events(countOf(query, 'after', 0)),
  }))
  api.post<{ Body: Stop }>('/stop', { schema: { body: Stop } }, async ({ body }) => {
    node.stop(body.pair)
    return { stopping: true }
  })
  addVolumes(api, node)
  addRoles(api, node)
  addConsistencyPoints(api, node)
  addScrub(api, node)
  addLog(api, node)
  return api
}

function addVolumes(api: FastifyInstance, node: NodeControl): void {
  type Named = { Params: { name: string } }
  api.get('/volumes', () => ({
    volumes: node
      .aggregates()
      .flatMap(({ name, volumes }) => volumes.map((it) => ({ ...it, aggregate: name }))),
  }))
  api.post<{ Body: CreateVolume }>('/volumes', { schema: { body: CreateVolume } }, async ({ body }) => {
    const { name, size } = body
    const aggregate = aggregateForNewVolume(node, body.aggregate).name
    const volume = await node.request(aggregate, 'volume-create', { name, size }, QUICK_MS)
    return { ...volume, aggregate }
  })
  api.patch<Named & { Body: ChangeVolume }>(
    '/volumes/:name',
    { schema: { body: ChangeVolume } },
    async ({ params, body }) => {
      const { size, newName } = body
      const aggregate = aggregateOfVolume(node, params.name, body.aggregate).name
      if ((size === undefined) === (newName === undefined)) {
        throw new StoreError('USAGE', 'a volume gets either a new size or a new name')
      }
      const volume =
        size !== undefined
          ? await node.request(aggregate, 'volume-resize', { name: params.name, size }, QUICK_MS)
          : await node.request(aggregate, 'volume-rename', { name: params.name, newName: newName! }, QUICK_MS)
      return { ...volume, aggregate }
    },
  )
  api.delete<Named & { Querystring: Record<string, string> }>('/volumes/:name', async ({ params, query }) => {
    const aggregate = aggregateOfVolume(node, params.name, query['aggregate']).name
    const volume = await node.request(aggregate, 'volume-delete', { name: params.name }, QUICK_MS)
    return { ...volume, aggregate }
  })
}

function addRoles(api: FastifyInstance, node: NodeControl): void {
  api.post<{ Body: Takeover }>('/takeover', { schema: { body: Takeover } }, async ({ body }) => {
    const { aggregates, ...wish } = body
    const meant = aggregatesMeant(node, aggregates, (aggregate) => !aggregate.serves)
    return eachOf(meant, (aggregate) => node.request(aggregate, 'takeover', wish, ROLE_CHANGE_MS))
  })
  api.post<{ Body: Handover }>('/handover', { schema: { body: Handover } }, async ({ body }) => {
    const meant = aggregatesMeant(node, body.aggregates, (aggregate) => aggregate.serves)
    const wish = { dryRun: body.dryRun }
    return eachOf(meant, (aggregate) => node.request(aggregate, 'handover', wish, ROLE_CHANGE_MS))
  })
}

/** All at once; the first failure is the answer when everything has ended. */
async function eachOf<T>(
  aggregates: readonly { name: string }[],
  ask: (aggregate: string) => Promise<T>,
): Promise<{ changes: (T & Pick<AggregateRoleChange, 'aggregate'>)[] }> {
  const settled = await Promise.allSettled(
    aggregates.map(async ({ name }) => ({ ...(await ask(name)), aggregate: name })),
  )
  const failed = settled.find((outcome) => outcome.status === 'rejected')
  if (failed) throw failed.reason
  return { changes: settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])) }
}

/** The one that is named, or all that this node serves. */
function servedHere(node: NodeControl, name: string | undefined): AggregateView[] {
  const meant = aggregatesMeant(node, name === undefined ? undefined : [name], ({ serves }) => serves)
  if (meant.length === 0) throw new StoreError('NOT_READY', `node ${node.name} serves no aggregate now`)
  return meant
}

function addConsistencyPoints(api: FastifyInstance, node: NodeControl): void {
  const schema = { body: ConsistencyPoint }
  api.post<{ Body: ConsistencyPoint }>('/cp', { schema }, async ({ body }) => {
    const meant = servedHere(node, body.aggregate)
    const timeoutMs = body.action === 'now' ? CONSISTENCY_POINT_MS : QUICK_MS
    return eachOf(meant, (aggregate) => node.request(aggregate, `cp-${body.action}`, {}, timeoutMs))
  })
}

function addScrub(api: FastifyInstance, node: NodeControl): void {
  api.post<{ Body: Scrub }>('/scrub', { schema: { body: Scrub } }, async ({ body }) => {
    const { action, aggregate, byteRate } = body
    const meant = servedHere(node, aggregate)
    const rate = byteRate === undefined ? {} : { byteRate }
    if (action === 'stop') return eachOf(meant, (name) => node.request(name, 'scrub-stop', {}, QUICK_MS))
    return eachOf(meant, (name) => node.request(name, 'scrub-start', rate, QUICK_MS))
  })
}

function addLog(api: FastifyInstance, node: NodeControl): void {
  api.get<{ Querystring: Record<string, string> }>('/log', async ({ query }, reply) => {
    const copy = query['copy'] ?? 'own'
    if (copy !== 'own' && copy !== 'partner') throw new StoreError('USAGE', 'copy is either own or partner')
    const limit = countOf(query, 'limit', DUMP_ENTRIES_MAX)
    const aggregate = aggregateNamed(node, query['aggregate'] ?? node.aggregates()[0]!.name).name
    const first = await node.request(aggregate, 'log-dump', { copy, limit }, QUICK_MS)
    return reply.type('application/x-ndjson').send(Readable.from(linesOf(node, aggregate, first, limit)))
  })
}

/** A log as text, part after part, each asked for when the one before has been taken. */
async function* linesOf(
  node: NodeControl,
  aggregate: string,
  first: LogDump,
  limit: number,
): AsyncGenerator<string> {
  for (let dump = first; ; ) {
    const lines = dump.entries.map((entry) => `${JSON.stringify({ aggregate, ...entry })}\n`)
    if (lines.length > 0) yield lines.join('')
    const { copy, next } = dump
    if (next === undefined) return
    dump = await node.request(aggregate, 'log-dump', { copy, limit, part: next }, QUICK_MS)
  }
}

function countOf(query: Record<string, string>, key: string, otherwise: number): number {
  const text = query[key]
  if (text === undefined) return otherwise
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new StoreError('USAGE', `${key} is a whole number, not ${JSON.stringify(text)}`)
}

function sendError(error: FastifyError | StoreError, _request: unknown, reply: FastifyReply): FastifyReply {
  if (isStoreError(error)) {
    const { code, message } = error
    return reply.code(httpStatus[code] ?? 500).send({ code, message })
  }
  if ((error.statusCode ?? 500) < 500) {
    return reply.code(error.statusCode!).send({ code: 'USAGE', message: error.message })
  }
  // a bug of ours: the asker gets its stack, so that it can be reported
  return reply.code(500).send({ code: 'INTERNAL', message: error.stack ?? error.message })
}
