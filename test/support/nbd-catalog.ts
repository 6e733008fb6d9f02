import type { ExportCatalog, ExportInfo } from '../../ts/nbd/export.ts'

/** An export with some values filled in. */
export function exportOf(name: string, more: Partial<ExportInfo> = {}): ExportInfo {
  const fixed = {
    description: '',
    byteLength: 64 * 1024 * 1024,
    readOnly: false,
    volume: 1,
    aggregate: 'one',
  }
  return { name, ...fixed, ...more }
}

/** A catalogue that always serves the same exports. */
export function catalogOf(...exports: readonly ExportInfo[]): ExportCatalog {
  return { list: () => exports, find: (name) => exports.find((known) => known.name === name) }
}
