import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parse, stringify } from 'smol-toml'
import type { NodeFile } from '../../ts/config/schema.ts'

export interface NodeConfigFile {
  readonly path: string
  readonly file: NodeFile
}

/** The configurations that `pollux up` has made under a directory, by name of the node. */
export function nodeConfigs(dir: string): Map<string, NodeConfigFile> {
  const found = new Map<string, NodeConfigFile>()
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.toml')) continue
    const file = path.join(entry.parentPath, entry.name)
    const document = parse(readFileSync(file, 'utf8')) as unknown as NodeFile
    if (document.node !== undefined) found.set(document.node.name, { path: file, file: document })
  }
  return found
}

/** Writes a configuration back with something changed. */
export function editConfig(
  { path: file, file: document }: NodeConfigFile,
  edit: (file: NodeFile) => void,
): void {
  edit(document)
  writeFileSync(file, stringify(document))
}

/** An embedded pair names each aggregate like its home. */
export function aggregateOf(file: NodeFile, name: string): NodeFile['aggregate'][number] {
  const aggregate = file.aggregate.find((one) => one.name === name)
  if (!aggregate) throw new Error(`${file.node.name} has no aggregate ${name}`)
  return aggregate
}
