import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const foldersNotOurs = ['node_modules', 'dist', '.dist-next', 'build', 'out', 'coverage', '.git', '.tap']

/** The top folder of the source tree, wherever the compiled tests are. */
export const root = findRoot(dirname(fileURLToPath(import.meta.url))) ?? process.cwd()

function findRoot(folder: string): string | undefined {
  if (existsSync(join(folder, 'package.json'))) return folder
  const parent = dirname(folder)
  return parent === folder ? undefined : findRoot(parent)
}

export type Sources = ReadonlyMap<string, string>

/** Text of every file of ours under the folders or files named, by path from the root. */
export function sources(paths: readonly string[], suffixes: readonly string[]): Sources {
  const found = new Map<string, string>()
  for (const path of paths) {
    const full = join(root, path)
    if (!existsSync(full)) continue
    if (statSync(full).isFile()) found.set(path, readFileSync(full, 'utf8'))
    else collect(full, suffixes, found)
  }
  return found
}

function collect(folder: string, suffixes: readonly string[], found: Map<string, string>): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (!foldersNotOurs.includes(entry.name)) collect(path, suffixes, found)
    } else if (entry.isFile() && suffixes.some((suffix) => entry.name.endsWith(suffix))) {
      found.set(relative(root, path), readFileSync(path, 'utf8'))
    }
  }
}

/** `path:line: text` of every line that matches. */
export function matchingLines(files: Sources, pattern: RegExp): string[] {
  const found: string[] = []
  for (const [path, text] of files) {
    if (!pattern.test(text)) continue
    text.split('\n').forEach((line, index) => {
      if (pattern.test(line)) found.push(`${path}:${index + 1}: ${line.trim()}`)
    })
  }
  return found
}
