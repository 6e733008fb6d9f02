import { posix } from 'node:path'

export interface Import {
  /** As it is written. */
  readonly specifier: string
  /** Path from the root for one of our files, undefined for a package. */
  readonly target: string | undefined
  /** Nothing of it is left after compilation. */
  readonly typeOnly: boolean
}

const statement = /^(?:import|export)\s(?:(type)\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm
const dynamicImport = /\bimport\(\s*'([^']+)'/g
const workerFile = /\bnew URL\(\s*'(\.[^']+)',\s*import\.meta\.url/g

/** What a file imports: statements, `import()`, and workers: `new URL('./x.ts', import.meta.url)`. */
export function importsOf(path: string, text: string): Import[] {
  const found: Import[] = []
  for (const [, type, specifier] of text.matchAll(statement)) {
    found.push({ specifier: specifier!, target: target(path, specifier!), typeOnly: type === 'type' })
  }
  for (const pattern of [dynamicImport, workerFile]) {
    for (const [, specifier] of text.matchAll(pattern)) {
      found.push({ specifier: specifier!, target: target(path, specifier!), typeOnly: false })
    }
  }
  return found
}

function target(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts')
}
