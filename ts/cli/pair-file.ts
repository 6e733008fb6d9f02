import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../base/errors.ts'

/** A node of an embedded pair, as `pollux up` made it. Its aggregate has the same name. */
export interface PairNode {
  readonly name: string
  readonly identity: string
  readonly aggregateIdentity: string
  readonly volume: string
  readonly servicePort: number
  readonly linkPort: number
  readonly api: string
  /** of plex 0 of its aggregate */
  readonly disk: string
  /** of plex 1, on the partner's side; without `--shared` */
  readonly mirror?: string
}

/** What `pollux up` keeps of an embedded pair. */
export interface PairFile {
  readonly version: 1
  /** how far the first run has come; one that was interrupted begins again there */
  readonly state: 'preparing' | 'formatted' | 'ready'
  readonly pair: string
  readonly size: number
  readonly diskByteLength: number
  readonly logByteLength: number
  readonly durability: 'pair' | 'vault' | 'default'
  readonly nvramDirectory: string
  readonly nodes: readonly [PairNode, PairNode]
}

/** Whether nothing is shared: each node has disks of its own. */
export const isApart = ({ nodes }: PairFile): boolean => nodes.some(({ mirror }) => mirror !== undefined)

const pathOf = (dir: string): string => join(dir, 'pair.json')

/** undefined if there is none. */
export function readPairFile(dir: string): PairFile | undefined {
  let text: string
  try {
    text = readFileSync(pathOf(dir), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new StoreError('CONFIG_INVALID', `${pathOf(dir)} cannot be read (${code})`, { cause: error })
  }
  try {
    const file = JSON.parse(text) as PairFile
    if (file.version === 1 && Array.isArray(file.nodes) && file.nodes.length === 2) return file
  } catch {
    // named below, as a file of another shape is
  }
  throw new StoreError('CONFIG_INVALID', `${pathOf(dir)} is not what \`pollux up\` wrote; restore it`)
}

export function writePairFile(dir: string, file: PairFile): void {
  const draft = `${pathOf(dir)}.new`
  writeFileSync(draft, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(draft, pathOf(dir))
}

export function removePairFile(dir: string): void {
  rmSync(pathOf(dir), { force: true })
}

export const configPath = (dir: string, node: string): string => join(dir, `${node}.toml`)
export const logPath = (dir: string, node: string): string => join(dir, `${node}.log`)
