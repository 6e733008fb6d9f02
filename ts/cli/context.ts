import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { StoreError } from '../base/errors.ts'
import { ControlClient } from '../control/client.ts'
import { type PairFile, readPairFile } from './pair-file.ts'

const SYSTEM_DIR = '/run/pollux'

/** A node that commands can talk to. */
export interface KnownNode {
  readonly name: string
  /** path of its control socket */
  readonly api: string
  /** where clients find its own aggregate, if that is known without asking */
  readonly nbd: string | undefined
  readonly client: ControlClient
}

/** What a command works on: the pair of `pollux up` in a folder, or the nodes with a socket in it. */
export interface Context {
  readonly dir: string
  readonly pair: PairFile | undefined
  readonly nodes: readonly KnownNode[]
}

/** $POLLUX_DIR, else pollux in the user's data folder. */
export function defaultDir(): string {
  const { POLLUX_DIR, XDG_DATA_HOME } = process.env
  if (POLLUX_DIR !== undefined && POLLUX_DIR !== '') return resolve(POLLUX_DIR)
  return join(XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'pollux')
}

export function findContext(dirOption: string | undefined): Context {
  const dir = dirOption === undefined ? defaultDir() : resolve(dirOption)
  const found = contextIn(dir)
  if (found) return found
  const system = dirOption === undefined ? contextIn(SYSTEM_DIR) : undefined
  if (system) return system
  const where = dirOption === undefined ? `${dir} or ${SYSTEM_DIR}` : dir
  const hint = dirOption === undefined ? 'pollux up' : `pollux up --dir ${dirOption}`
  throw new StoreError('API_UNREACHABLE', `there is no pair in ${where}; make one with \`${hint}\``)
}

function contextIn(dir: string): Context | undefined {
  const pair = readPairFile(dir)
  if (pair) {
    const nodes = pair.nodes.map(({ name, api, servicePort }) => known(name, api, `127.0.0.1:${servicePort}`))
    return { dir, pair, nodes }
  }
  if (!existsSync(dir)) return undefined
  const sockets = readdirSync(dir).filter((file) => file.endsWith('.sock'))
  if (sockets.length === 0) return undefined
  const nodes = sockets.map((file) => known(basename(file, '.sock'), join(dir, file), undefined))
  return { dir, pair: undefined, nodes }
}

const known = (name: string, api: string, nbd: string | undefined): KnownNode => ({
  name,
  api,
  nbd,
  client: new ControlClient(api),
})
