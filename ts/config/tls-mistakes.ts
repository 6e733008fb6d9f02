import { isAbsolute } from 'node:path'
import type { TlsTable } from './schema.ts'
import type { KeyPath } from './toml-lines.ts'

/** What is wrong with `[tls]` beyond its shape; what is in the files shows when they are opened. */
export function tlsMistakes(table: TlsTable): { path: KeyPath; text: string }[] {
  const found: { path: KeyPath; text: string }[] = []
  const add = (path: KeyPath, text: string) => found.push({ path: ['tls', ...path], text })
  for (const key of ['certificate', 'key', 'authority'] as const) {
    if (!isAbsolute(table[key])) add([key], `must be an absolute path, not ${JSON.stringify(table[key])}`)
  }
  const { client: clients = [], required = true } = table
  if (!required && clients.length > 0) {
    add(
      ['client'],
      'has no use with tls.required = false: who comes without TLS may open every volume; remove one of them',
    )
  }
  const seen = new Map<string, number>()
  clients.forEach(({ name }, index) => {
    const before = seen.get(name)
    if (before === undefined) seen.set(name, index)
    else
      add(['client', index, 'name'], `repeats the name of tls.client[${before}]; list all its volumes there`)
  })
  return found
}
