import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top folder of the source tree. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** Every file under a folder, with the suffix asked for, sorted. */
export function filesUnder(folder, suffix = '') {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

/** Whether `output` is missing or older than one of the sources (folders count: a deletion touches them). */
export function isStale(output, sources) {
  if (!existsSync(output)) return true
  const builtMs = statSync(output).mtimeMs
  return sources.some((source) => existsSync(source) && newestMs(source) > builtMs)
}

function newestMs(path) {
  const status = statSync(path)
  if (!status.isDirectory()) return status.mtimeMs
  return readdirSync(path).reduce(
    (newest, name) => Math.max(newest, newestMs(join(path, name))),
    status.mtimeMs,
  )
}
