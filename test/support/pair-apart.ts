import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { MIB } from '../../ts/base/units.ts'
import { type NodeName, nodeNames, Pair, type PairOptions, partnerOf } from './pair.ts'
import { plexIs } from './pair-mirror.ts'
import { mustPollux, mustRun } from './program.ts'

/** A pair with nothing shared, in sync: plex 0 of an aggregate is on its home, plex 1 on the partner. */
export async function startApart(t: Test, options: PairOptions = {}): Promise<Pair> {
  const pair = await Pair.start(t, { ...options, isApart: true })
  await plexesInSync(pair)
  return pair
}

export async function plexesInSync(pair: Pair, timeoutMs?: number): Promise<void> {
  for (const aggregate of nodeNames) {
    for (const plex of [0, 1]) await plexIs(pair, plex, 'in-sync', aggregate, timeoutMs)
  }
  await pair.inSync()
}

const folderOf = (pair: Pair, node: NodeName): string => path.join(pair.dir, node)

/** Of a node that is dead: its disks, and its copies of the logs. */
export function loseEverything(pair: Pair, node: NodeName): void {
  rmSync(folderOf(pair, node), { recursive: true })
  const { directory } = pair.config(node).file.nvram
  for (const name of readdirSync(directory)) rmSync(path.join(directory, name))
}

/** New disks for a node, a little larger than those that it had, labelled for their owners to fill. */
export async function giveBlankDisks(pair: Pair, node: NodeName): Promise<void> {
  mkdirSync(folderOf(pair, node))
  for (const aggregate of nodeNames) {
    const plex = aggregate === node ? 0 : 1
    const [disk] = pair.plex(aggregate, plex)
    const [mirror] = pair.plex(aggregate, 1 - plex)
    await mustRun('truncate', ['-s', String(statSync(mirror!).size + 5 * MIB), disk!])
    const listed = JSON.parse((await mustPollux(['disk', 'list', mirror!, '--json'])).stdout)
    const where = ['--config', pair.config(node).path, '--aggregate', aggregate, '--plex', String(plex)]
    await mustPollux(['disk', 'label', disk!, ...where, '--size', listed.disks[0].size])
  }
}

/** What an owner has sent over its link, in bytes. */
export interface LinkTraffic {
  readonly linkBytesSent: number
  /** blocks for the partner's disks: those that its copy of the log has, and all others */
  readonly diskBytesByReference: number
  readonly diskBytesByValue: number
}

export async function linkTraffic(pair: Pair, node: NodeName, aggregate: string): Promise<LinkTraffic> {
  return (await pair.engine(node, aggregate)) as unknown as LinkTraffic
}

/** What its partner has sent for the same aggregate. */
export const partnerTraffic = (pair: Pair, node: NodeName, aggregate: string): Promise<LinkTraffic> =>
  linkTraffic(pair, partnerOf(node), aggregate)
