import { StoreError } from '../base/errors.ts'
import type { AggregateRoleChange } from '../control/node-control.ts'
import { type Context, findContext } from './context.ts'
import { say, sayJson } from './output.ts'
import {
  type AggregateLine,
  type Asked,
  askNodes,
  ownerOf,
  type PairStatus,
  summarize,
} from './pair-status.ts'
import { waitFor } from './wait.ts'

export interface RoleOptions {
  dir?: string
  json?: true
  dryRun?: true
  force?: true
  acceptDataLoss?: true
  reason?: string
  by?: string
}

const ROLE_CHANGE_MS = 65_000
const SERVED_AGAIN_MS = 30_000
const CATCH_UP_MS = 10_000
const WHERE = 'start it, or give the command on its host'

interface Changes {
  changes: AggregateRoleChange[]
}

/**
 * NODE's partner takes over what NODE owns: handed over by NODE if it can, else taken. With `--by NODE` that
 * goes on itself, by what it has left.
 */
export async function takeover(name: string, options: RoleOptions): Promise<void> {
  const context = findContext(options.dir)
  const pair = await look(context)
  const { node, partner } = endsOf(pair, name)
  const owned = pair.status.aggregates.filter((aggregate) => ownerOf(aggregate) === name)
  if (owned.length === 0) return done(options, [], `${name} owns nothing`)
  const aggregates = owned.map((aggregate) => aggregate.name)
  const isByItself = byItself(pair, name, options)
  if (
    node?.status &&
    !options.force &&
    !isByItself &&
    (await canHandOver(context, aggregates, node, partner))
  ) {
    const { changes } = await ask(node, '/handover', { aggregates, dryRun: options.dryRun === true })
    return finish(context, options, changes, partnerName(pair, name))
  }
  const taker = isByItself ? node : partner
  if (!taker?.status) {
    const who = isByItself ? name : `the partner of ${name}`
    throw new StoreError('TAKEOVER_IMPOSSIBLE', `${who} does not answer here; ${WHERE}`)
  }
  const { changes } = await ask(taker, '/takeover', {
    aggregates,
    force: options.force === true,
    acceptDataLoss: options.acceptDataLoss === true,
    reason: options.reason ?? '',
    dryRun: options.dryRun === true,
  })
  return finish(context, options, changes, taker.status.name)
}

/** NODE gets back what is its own by home. */
export async function giveback(name: string, options: RoleOptions): Promise<void> {
  const context = findContext(options.dir)
  const pair = await look(context)
  const { node, partner } = endsOf(pair, name)
  const away = pair.status.aggregates.filter(
    (aggregate) => aggregate.home === name && ownerOf(aggregate) !== undefined && ownerOf(aggregate) !== name,
  )
  if (away.length === 0) return done(options, [], `nothing that belongs to ${name} is elsewhere`)
  if (!partner?.status) {
    throw new StoreError('GIVEBACK_IMPOSSIBLE', `the partner of ${name} does not answer here; ${WHERE}`)
  }
  const aggregates = away.map((aggregate) => aggregate.name)
  await canHandOver(context, aggregates, partner, node)
  const { changes } = await ask(partner, '/handover', { aggregates, dryRun: options.dryRun === true })
  return finish(context, options, changes, name)
}

function byItself(look: Look, name: string, { by }: RoleOptions): boolean {
  if (by === undefined) return false
  endsOf(look, by)
  return by === name
}

interface Look {
  readonly asked: readonly Asked[]
  readonly status: PairStatus
}

async function look(context: Context): Promise<Look> {
  const asked = await askNodes(context)
  if (asked.every(({ status }) => status === undefined)) {
    throw new StoreError('API_UNREACHABLE', `no node of ${context.dir} runs; start them with \`pollux up\``)
  }
  return { asked, status: summarize(context.dir, asked) }
}

/** The node that is meant and the other one, as far as this host can talk to them. */
function endsOf({ asked }: Look, name: string): { node: Asked | undefined; partner: Asked | undefined } {
  const nameOf = (one: Asked): string => one.status?.name ?? one.node.name
  const names = new Set(asked.flatMap((one) => [nameOf(one), ...(one.status ? [one.status.partner] : [])]))
  if (!names.has(name)) {
    throw new StoreError('USAGE', `no node is called ${name}; there are ${[...names].join(' and ')}`)
  }
  return {
    node: asked.find((one) => nameOf(one) === name),
    partner: asked.find((one) => nameOf(one) !== name),
  }
}

function partnerName({ asked }: Look, name: string): string {
  const known = asked.find(({ status }) => status?.name === name)?.status?.partner
  return known ?? asked.find(({ node }) => node.name !== name)!.node.name
}

/**
 * Whether `owner` serves these aggregates with a link to its partner. A partner that has just come is
 * given a moment to catch up: whoever types `giveback` right after `up` means it.
 */
async function canHandOver(
  context: Context,
  names: readonly string[],
  owner: Asked,
  partner: Asked | undefined,
): Promise<boolean> {
  const ownerName = owner.status?.name ?? owner.node.name
  const untilMs = performance.now() + (partner?.status ? CATCH_UP_MS : 0)
  const text = () => `waiting until ${partner?.status?.name} has all of ${names.join(' and ')}`
  return waitFor(Number.POSITIVE_INFINITY, text, async () => {
    const { aggregates } = summarize(context.dir, await askNodes(context))
    const wanted = aggregates.filter(({ name }) => names.includes(name))
    const ends = wanted.map(({ engines }) => engines[ownerName])
    const isLinked = ends.length > 0 && ends.every((engine) => engine?.serves && engine.link.up)
    const isInSync = isLinked && ends.every((engine) => engine?.log.state === 'in-sync')
    return isInSync || performance.now() > untilMs ? isLinked : undefined
  })
}

function ask({ node }: Asked, path: string, body: object): Promise<Changes> {
  return node.client.json<Changes>('POST', path, body, ROLE_CHANGE_MS)
}

/** Waits until clients are served again by the node that has the aggregates now. */
async function finish(
  context: Context,
  options: RoleOptions,
  changes: readonly AggregateRoleChange[],
  target: string,
): Promise<void> {
  if (options.dryRun) return judged(options, changes, target)
  const waiting = new Set(changes.map(({ aggregate }) => aggregate))
  let isSeen = true
  await waitFor(
    SERVED_AGAIN_MS,
    () => `${target} does not serve ${[...waiting].join(' and ')} yet`,
    async () => {
      const asked = await askNodes(context)
      // of two hosts, each sees its own node: the record has to do
      isSeen = asked.some(({ status }) => status?.name === target)
      for (const aggregate of summarize(context.dir, asked).aggregates) {
        const has = isSeen ? aggregate.node : ownerOf(aggregate)
        if (has === target) waiting.delete(aggregate.name)
        else if (waiting.has(aggregate.name)) mustStillBeComing(aggregate, changes, target)
      }
      return waiting.size === 0 ? true : undefined
    },
  )
  const text = isSeen ? 'serves' : 'owns'
  const where = isSeen ? '' : `; whether it serves is seen on its host`
  return done(options, changes, `${target} ${text} ${namesOf(changes)} now${where}`)
}

/** Whoever serves in a later epoch than the target's own has taken it over. */
function mustStillBeComing(
  { name, node, epoch }: AggregateLine,
  changes: readonly AggregateRoleChange[],
  target: string,
): void {
  const change = changes.find(({ aggregate }) => aggregate === name)
  if (node === null || change === undefined || !('epoch' in change)) return
  // the giver answers before the target has claimed
  const targetEpoch = change.how === undefined ? change.epoch + 1 : change.epoch
  if (epoch <= targetEpoch) return
  throw new StoreError(
    'NOT_READY',
    `${target} got ${name} and failed: ${node} has taken it over, and serves it`,
  )
}

/** A dry run fails if what it tries would. */
function judged(options: RoleOptions, changes: readonly AggregateRoleChange[], target: string): void {
  const against = changes.flatMap((change) =>
    'possible' in change && !change.possible ? [`${change.aggregate}: ${change.because}`] : [],
  )
  if (against.length > 0) throw new StoreError('TAKEOVER_IMPOSSIBLE', against.join('; '))
  const words = changes.flatMap((change) =>
    'because' in change && change.because ? [`${change.aggregate}: ${change.because}`] : [],
  )
  const text = `${target} can have ${namesOf(changes)}; nothing was changed`
  done(options, changes, [text, ...words].join('\n'))
}

const namesOf = (changes: readonly AggregateRoleChange[]): string =>
  changes.map(({ aggregate }) => aggregate).join(' and ')

function done(options: RoleOptions, changes: readonly AggregateRoleChange[], text: string): void {
  if (options.json) sayJson({ changes, text })
  else say(text)
}
