import { StoreError } from '../base/errors.ts'
import { isSilent, type NodeStatus, type ServiceStatus } from '../control/node-control.ts'
import type { EngineStatus, VolumeStatus } from '../node/messages.ts'
import type { Context, KnownNode } from './context.ts'
import { runningPid } from './node-process.ts'

export interface NodeLine {
  readonly name: string
  readonly pid: number | null
  readonly nbd: string | null
  readonly api: string
  /** silent: its process lives and does not answer */
  readonly state: 'running' | 'stopping' | 'silent' | 'down'
  /** why it does not answer; empty if it does */
  readonly because: string
  /** why clients may not reach addresses that it has set */
  readonly problems: readonly string[]
  /** whether its partner could take over what it owns, now */
  readonly takeover: { readonly possible: boolean; readonly because: string }
}

export interface AggregateLine {
  readonly name: string
  readonly home: string
  /** the node that serves it, or null */
  readonly node: string | null
  readonly because: string
  readonly epoch: number
  readonly log: 'in-sync' | 'stale' | null
  /** what each node that answers says of it, by name of the node */
  readonly engines: Readonly<Record<string, EngineStatus>>
}

export interface VolumeLine {
  readonly name: string
  readonly size: number
  readonly usedByteLength: number
  readonly node: string
  readonly aggregate: string
  readonly uri: string
}

export interface PairStatus {
  readonly dir: string
  readonly nodes: readonly NodeLine[]
  readonly aggregates: readonly AggregateLine[]
  readonly volumes: readonly VolumeLine[]
}

/** A node and what it has answered, or why it has not. */
export interface Asked {
  readonly node: KnownNode
  readonly status: NodeStatus | undefined
  /** its process, if that lives */
  readonly pid: number | undefined
  readonly because: string
}

/** Asks all nodes at once; one that is down does not hold up the others. */
export async function askNodes(context: Context, timeoutMs = 2500): Promise<Asked[]> {
  return Promise.all(
    context.nodes.map(async (node): Promise<Asked> => {
      try {
        const status = await node.client.status(timeoutMs)
        return { node, status, pid: status.pid, because: '' }
      } catch (error) {
        return { node, status: undefined, pid: runningPid(node.api), because: (error as Error).message }
      }
    }),
  )
}

export async function pairStatus(context: Context, timeoutMs?: number): Promise<PairStatus> {
  return summarize(context.dir, await askNodes(context, timeoutMs))
}

export function summarize(dir: string, asked: readonly Asked[]): PairStatus {
  const aggregates = aggregateLines(asked)
  return {
    dir,
    nodes: asked.map((one) => nodeLine(one, aggregates)),
    aggregates,
    volumes: aggregates.flatMap((aggregate) => volumeLines(aggregate, asked)),
  }
}

/** The aggregates that are served now and that a command means: one by name, or all. */
export async function servedAggregates(context: Context, name: string | undefined): Promise<AggregateLine[]> {
  const { aggregates } = await pairStatus(context)
  const meant = aggregates.filter((aggregate) => name === undefined || aggregate.name === name)
  if (name !== undefined && meant.length === 0) {
    throw new StoreError('USAGE', `no aggregate that answers is called ${name}`)
  }
  const served = meant.filter(({ node }) => node !== null)
  if (served.length === 0) throw new StoreError('NOT_READY', 'no aggregate is served now')
  return served
}

/** One line for each aggregate that any node knows. */
function aggregateLines(asked: readonly Asked[]): AggregateLine[] {
  const names = new Map<string, string>()
  const engines = new Map<string, Record<string, EngineStatus>>()
  const silent = new Map<string, string>()
  for (const { status } of asked) {
    for (const engine of status?.aggregates ?? []) {
      names.set(engine.aggregate, engine.home)
      if (isSilent(engine)) silent.set(engine.aggregate, engine.silent)
      else engines.set(engine.aggregate, { ...engines.get(engine.aggregate), [status!.name]: engine })
    }
  }
  return [...names].map(([name, home]) =>
    aggregateLine(name, home, engines.get(name) ?? {}, silent.get(name) ?? ''),
  )
}

function aggregateLine(
  name: string,
  home: string,
  engines: Record<string, EngineStatus>,
  silent: string,
): AggregateLine {
  // the highest epoch knows best: a node that has been stopped for a while may still think that it serves
  const newestFirst = Object.entries(engines).sort(([, a], [, b]) => b.epoch - a.epoch)
  const serving = newestFirst.find(([, engine]) => engine.serves)
  const reasons = newestFirst.map(([node, engine]) => `${node}: ${engine.because || engine.state}`)
  return {
    name,
    home,
    node: serving?.[0] ?? null,
    because: serving ? '' : [...reasons, ...(silent ? [silent] : [])].join('; '),
    epoch: newestFirst[0]?.[1].epoch ?? 0,
    log: (serving ?? newestFirst[0])?.[1].log.state ?? null,
    engines,
  }
}

function nodeLine({ node, status, pid, because }: Asked, aggregates: readonly AggregateLine[]): NodeLine {
  const name = status?.name ?? node.name
  const home = aggregates.find((aggregate) => aggregate.home === name)
  return {
    name,
    pid: pid ?? null,
    nbd: node.nbd ?? addressOf(home?.name, status) ?? null,
    api: node.api,
    state: status?.state ?? (pid === undefined ? 'down' : 'silent'),
    because,
    problems: addressProblems(status),
    takeover: takeoverOf(name, aggregates),
  }
}

const addressProblems = (status: NodeStatus | undefined): string[] =>
  (status?.addresses ?? []).flatMap(({ address, problem }) =>
    problem === '' ? [] : [`${address}: ${problem}`],
  )

function addressOf(aggregate: string | undefined, status: NodeStatus | undefined): string | undefined {
  return aggregate === undefined ? undefined : serviceOf(aggregate, status)?.address
}

/** The place that moves with an aggregate: those of one node alone come after it. */
function serviceOf(aggregate: string, status: NodeStatus | undefined): ServiceStatus | undefined {
  return status?.services.find((service) => service.aggregates.includes(aggregate))
}

/** Whether the partner of a node could take over all that the node owns. */
function takeoverOf(node: string, aggregates: readonly AggregateLine[]): NodeLine['takeover'] {
  const judged = aggregates
    .filter((aggregate) => ownerOf(aggregate) === node)
    .map(({ name, engines }) => {
      const partner = Object.entries(engines).find(([other]) => other !== node)?.[1]
      const takeover = partner?.takeover ?? { possible: false, because: 'the partner does not answer' }
      return { ...takeover, because: takeover.because === '' ? '' : `${name}: ${takeover.because}` }
    })
  if (judged.length === 0) return { possible: false, because: 'it owns nothing' }
  const against = judged.filter(({ possible }) => !possible).map(({ because }) => because)
  return { possible: against.length === 0, because: against.join('; ') }
}

/** Who owns an aggregate, as the newest epoch that any engine knows has it. */
export function ownerOf({ engines }: AggregateLine): string | undefined {
  return Object.values(engines).sort((a, b) => b.epoch - a.epoch)[0]?.owner
}

function volumeLines(aggregate: AggregateLine, asked: readonly Asked[]): VolumeLine[] {
  const { node, name } = aggregate
  if (node === null) return []
  const status = asked.find((one) => one.status?.name === node)?.status
  const service = serviceOf(name, status)
  const scheme = service?.tls === 'required' ? 'nbds' : 'nbd'
  return aggregate.engines[node]!.volumes.map((volume: VolumeStatus) => ({
    name: volume.name,
    size: volume.size,
    usedByteLength: volume.usedByteLength,
    node,
    aggregate: name,
    uri: `${scheme}://${service?.address ?? ''}/${volume.name}`,
  }))
}
