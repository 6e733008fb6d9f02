import { importsOf } from './imports.ts'
import type { Sources } from './project.ts'

/** The layers of the engine, lowest first. Those in one row do not know each other. */
export const rows: readonly (readonly string[])[] = [
  ['base'],
  ['format'],
  ['ports'],
  ['nbd', 'log', 'disk'],
  ['partner'],
  ['plex'],
  ['volume'],
  ['consistency-point'],
  ['flow', 'ha'],
  ['engine'],
]

const engineLayers = rows.flat()

/** What the layers around the engine may import, and of what they may see the types alone. */
const around: Readonly<Record<string, { values: readonly string[]; types: readonly string[] }>> = {
  adapters: { values: ['base', 'format', 'ports'], types: [] },
  config: { values: ['base', 'format', 'ports'], types: [] },
  control: { values: ['base', 'format', 'ports', 'config'], types: [...engineLayers, 'node'] },
  node: { values: [...engineLayers, 'adapters', 'config', 'control'], types: [] },
  attach: { values: ['base', 'format', 'nbd', 'adapters', 'config', 'node'], types: [] },
  cli: { values: [...engineLayers, 'adapters', 'config', 'control', 'node', 'attach', 'main'], types: [] },
  main: {
    values: [...engineLayers, 'adapters', 'config', 'control', 'node', 'engine-worker', 'address-guard'],
    types: [],
  },
  'address-guard': { values: ['adapters', 'node'], types: [] },
  'engine-worker': { values: [...engineLayers, 'adapters', 'config'], types: ['node'] },
}

/** What a node gives to its engine and hears from it: shapes alone, that both sides must know. */
const shapesForEngine = ['ts/config/engine-settings.ts', 'ts/node/messages.ts']

/** `ts/log/ring.ts` is in `log`, `ts/engine.ts` in `engine`. */
export function layerOf(path: string): string {
  return path.split('/')[1]!.replace(/\.ts$/, '')
}

/** Whether a layer belongs to the engine: it sees the world through ports only. */
export function isEngine(layer: string): boolean {
  return engineLayers.includes(layer)
}

function mayImport(from: string, target: string, typeOnly: boolean): boolean {
  const to = layerOf(target)
  if (from === to) return true
  if (from === 'engine' && typeOnly && shapesForEngine.includes(target)) return true
  const rules = around[from]
  if (rules) return rules.values.includes(to) || (typeOnly && rules.types.includes(to))
  const rank = (layer: string) => rows.findIndex((row) => row.includes(layer))
  return rank(to) >= 0 && rank(to) < rank(from)
}

/** Every import that goes against the arrows, and every file in a folder that is not in the tables. */
export function layerViolations(files: Sources): string[] {
  const violations: string[] = []
  for (const [path, text] of files) {
    const from = layerOf(path)
    if (!isEngine(from) && !around[from]) {
      violations.push(`${path}: the layer ${from} is not in the table`)
      continue
    }
    for (const { specifier, target, typeOnly } of importsOf(path, text)) {
      if (target === undefined) {
        if (isEngine(from)) violations.push(`${path}: engine code imports no package: ${specifier}`)
      } else if (!target.startsWith('ts/')) {
        violations.push(`${path}: ${target} is outside of ts/`)
      } else if (!mayImport(from, target, typeOnly)) {
        violations.push(`${path}: ${from} may not import ${target}`)
      }
    }
  }
  return violations
}
