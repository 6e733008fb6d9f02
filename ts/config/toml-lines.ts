/** A place in a document: keys of tables and indexes of arrays of tables. */
export type KeyPath = readonly (string | number)[]

/**
 * Line on which the value of a key path is written, from 1, or undefined. The parser forgets where
 * values came from; this scans headers and keys of the plain TOML that people write in settings.
 * If the key itself is missing, the line of its table is the answer.
 */
export function lineOf(text: string, path: KeyPath): number | undefined {
  const wanted = pathText(path)
  const parents = path.map((_, index) => pathText(path.slice(0, index + 1)))
  const counts = new Map<string, number>()
  let table: KeyPath = []
  let best: { depth: number; line: number } | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const header = readHeader(line)
    const key = header ? undefined : /^\s*([A-Za-z0-9_."'-]+)\s*=/.exec(line)?.[1]
    if (!header && key === undefined) continue
    if (header) table = header.isArray ? [...header.keys, nextIndex(counts, header.keys)] : header.keys
    const here = pathText(key === undefined ? table : [...table, ...splitKey(key)])
    if (here === wanted) return index + 1
    const depth = parents.indexOf(here)
    if (depth >= 0 && depth >= (best?.depth ?? 0)) best = { depth, line: index + 1 }
  }
  return best?.line
}

function readHeader(line: string): { keys: string[]; isArray: boolean } | undefined {
  const [, open, name] = /^\s*(\[\[?)\s*([^\]]+?)\s*\]/.exec(line) ?? []
  return name === undefined ? undefined : { keys: splitKey(name), isArray: open === '[[' }
}

function nextIndex(counts: Map<string, number>, keys: readonly string[]): number {
  const name = pathText(keys)
  const index = counts.get(name) ?? 0
  counts.set(name, index + 1)
  return index
}

const splitKey = (key: string): string[] =>
  key.split('.').map((part) => part.trim().replace(/^["']|["']$/g, ''))

/** "aggregate[1].disks" */
export function pathText(path: KeyPath): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('')
}
