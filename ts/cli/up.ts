import { closeSync, mkdirSync, openSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { flock } from '../adapters/native.ts'
import { StoreError } from '../base/errors.ts'
import { byteLengthText, type Parsed, parseByteLength } from '../config/quantities.ts'
import { type Context, defaultDir, findContext } from './context.ts'
import { follow } from './follow.ts'
import { isRunning, lastWords, type StartedNode, startNode } from './node-process.ts'
import { note, say, sayJson } from './output.ts'
import { isApart, type PairFile, readPairFile, writePairFile } from './pair-file.ts'
import { makePrivate } from './pair-nvram.ts'
import { type PairWish, preparePair } from './pair-setup.ts'
import { ownerOf, type PairStatus, pairStatus } from './pair-status.ts'
import { volumeTable } from './status-text.ts'
import { waitFor } from './wait.ts'

export interface UpOptions {
  dir?: string
  size?: string
  durability?: string
  logSize?: string
  diskSize?: string
  shared?: true
  detach?: true
  json?: true
}

const SIZE_DEFAULT = '1GiB'
const LOG_SIZE_DEFAULT = '128MiB'
const SERVING_MS = 60_000
const IN_SYNC_MS = 10_000

/** `pollux up`: makes the pair on the first run, starts what is not running, waits until it serves. */
export async function up(options: UpOptions): Promise<void> {
  const wish = wishOf(options)
  const dir = makeDir(options.dir)
  const release = lockDir(dir)
  try {
    const pair = await start(dir, wish, options)
    const status = await announce(dir, pair, options)
    release()
    if (options.detach) return
    await follow(findContext(dir), status)
  } finally {
    release()
  }
}

async function start(dir: string, wish: PairWish, options: UpOptions): Promise<PairFile> {
  const found = readPairFile(dir)
  if (found && found.state !== 'preparing') sayWhatDiffers(found, options, wish)
  const pair = !found || found.state === 'preparing' ? await preparePair(dir, wish) : found
  makePrivate(pair.nvramDirectory)
  const context = findContext(dir)
  const started = context.nodes.filter(({ api }) => !isRunning(api)).map(({ name }) => startNode(dir, name))
  await served(context, dir, started)
  if (pair.state === 'ready') return pair
  await createVolumes(context, pair)
  const ready: PairFile = { ...pair, state: 'ready' }
  writePairFile(dir, ready)
  return ready
}

/** Waits until both nodes answer and every aggregate is served by one of them. */
async function served(context: Context, dir: string, started: readonly StartedNode[]): Promise<void> {
  let waitingFor = 'the nodes to start'
  await waitFor(
    SERVING_MS,
    () => `waiting for ${waitingFor}`,
    async () => {
      const ended = started.find((node) => node.hasEnded() && !runs(context, node.name))
      if (ended) {
        const text = `node ${ended.name} does not start: ${lastWords(dir, ended)}`
        throw new StoreError('NOT_READY', text)
      }
      const status = await pairStatus(context, 1000)
      waitingFor = whatIsMissing(status)
      return waitingFor === '' ? true : undefined
    },
  )
}

/** Whether a process of the node lives, perhaps one that somebody else started at the same moment. */
const runs = (context: Context, name: string): boolean =>
  context.nodes.some((node) => node.name === name && isRunning(node.api))

function whatIsMissing({ nodes, aggregates }: PairStatus): string {
  const down = nodes.find(({ state }) => state !== 'running')
  if (down) return `node ${down.name}: ${down.because || down.state}`
  const unserved = aggregates.find(({ node }) => node === null)
  if (unserved) return `aggregate ${unserved.name}: ${unserved.because}`
  return aggregates.length < 2 ? 'the aggregates' : ''
}

/** The first volumes. A first run that was interrupted may have made one of them already. */
async function createVolumes(context: Context, pair: PairFile): Promise<void> {
  const { aggregates, volumes } = await pairStatus(context)
  for (const { name: aggregate, volume } of pair.nodes) {
    if (volumes.some(({ name }) => name === volume)) continue
    const owner = aggregates.find(({ name }) => name === aggregate)?.node
    const node = context.nodes.find(({ name }) => name === owner)
    if (!node)
      throw new StoreError('NOT_READY', `aggregate ${aggregate} is not served any more; run it again`)
    await node.client.json('POST', '/volumes', { name: volume, size: pair.size, aggregate })
  }
}

/** Gives the copies a moment to get in sync, then says what there is. */
async function announce(dir: string, pair: PairFile, options: UpOptions): Promise<PairStatus> {
  const context = findContext(dir)
  await waitFor(
    IN_SYNC_MS,
    () => 'waiting for the copies of the logs to be in sync',
    async () => {
      const { nodes, aggregates } = await pairStatus(context)
      const isSafe = nodes.every(({ name, takeover }) => takeover.possible || ownsNothing(aggregates, name))
      return isSafe ? true : undefined
    },
  ).catch(() => note('the copies of the logs are not in sync yet; see `pollux status`'))
  const status = await pairStatus(context)
  if (options.json) sayJson(status)
  else say(welcome(dir, pair, status, options))
  return status
}

const ownsNothing = (aggregates: PairStatus['aggregates'], node: string): boolean =>
  aggregates.every((aggregate) => ownerOf(aggregate) !== node)

function welcome(dir: string, pair: PairFile, status: PairStatus, options: UpOptions): string {
  const at = options.dir === undefined ? '' : ` --dir ${dir}`
  const first = status.volumes[0]
  const home = first?.node ?? pair.nodes[0].name
  return [
    `castor and pollux serve, in ${dir}`,
    '',
    volumeTable(status.volumes),
    '',
    'try next:',
    ...(first ? [`  nbdinfo ${first.uri}`] : []),
    `  pollux status${at}`,
    `  pollux takeover ${home}${at}`,
    options.detach ? `  pollux down${at}` : '  Ctrl-C stops both in good order',
  ].join('\n')
}

function sayWhatDiffers(pair: PairFile, options: UpOptions, wish: PairWish): void {
  const differs: string[] = []
  const compare = (given: unknown, what: string, isSame: boolean, kept: string) => {
    if (given !== undefined && !isSame) differs.push(`${what} stays ${kept}`)
  }
  compare(options.size, 'the size of new volumes', wish.size === pair.size, byteLengthText(pair.size))
  compare(options.durability, 'durability', wish.durability === pair.durability, pair.durability)
  const sameLog = wish.logByteLength === pair.logByteLength
  compare(options.logSize, 'the size of the logs', sameLog, byteLengthText(pair.logByteLength))
  const sameDisk = wish.diskByteLength === pair.diskByteLength
  compare(options.diskSize, 'the size of the disks', sameDisk, byteLengthText(pair.diskByteLength))
  compare(options.shared, 'the place of the disks', !isApart(pair), 'on each node, nothing shared')
  if (differs.length > 0) note(`the pair exists: ${differs.join(', ')}, as in its first run`)
}

function wishOf(options: UpOptions): PairWish {
  const { durability = 'default' } = options
  if (durability !== 'pair' && durability !== 'vault' && durability !== 'default') {
    throw new StoreError('USAGE', `--durability is pair or vault, not ${durability}`)
  }
  const size = sizeOf('--size', options.size ?? SIZE_DEFAULT)
  const logByteLength = sizeOf('--log-size', options.logSize ?? LOG_SIZE_DEFAULT)
  if (!Number.isInteger(Math.log2(logByteLength)) || logByteLength < 2 ** 20 || logByteLength > 2 ** 31) {
    throw new StoreError('USAGE', '--log-size is a power of two between 1MiB and 2GiB')
  }
  if (size % 4096 !== 0) throw new StoreError('USAGE', '--size is a multiple of 4096 bytes')
  return {
    size,
    durability,
    logByteLength,
    isLogExplicit: options.logSize !== undefined,
    diskByteLength: options.diskSize === undefined ? undefined : sizeOf('--disk-size', options.diskSize),
    isApart: options.shared !== true,
  }
}

function sizeOf(option: string, text: string): number {
  const parsed: Parsed = parseByteLength(text)
  if ('mistake' in parsed) throw new StoreError('USAGE', `${option}: ${parsed.mistake}`)
  if (parsed.value === 0) throw new StoreError('USAGE', `${option} must be more than 0`)
  return parsed.value
}

function makeDir(dirOption: string | undefined): string {
  const dir = dirOption === undefined ? defaultDir() : resolve(dirOption)
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    return realpathSync(dir)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StoreError('CONFIG_INVALID', `${dir} cannot be made (${code}); give another --dir`)
  }
}

/** Two at a time would start every node twice. */
function lockDir(dir: string): () => void {
  const descriptor = openSync(join(dir, 'up.lock'), 'a', 0o600)
  if (!flock(descriptor)) {
    closeSync(descriptor)
    throw new StoreError(
      'NOT_READY',
      `another \`pollux up\` starts the pair in ${dir} right now; wait for it`,
    )
  }
  let held = true
  return () => {
    if (held) closeSync(descriptor)
    held = false
  }
}
