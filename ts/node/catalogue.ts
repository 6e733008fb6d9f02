import type { ExportCatalog, ExportInfo } from '../nbd/export.ts'
import type { ServingState } from '../ports/host.ts'

/** The exports behind one service address: the volumes of its aggregates that are served here now. */
export class Catalogue implements ExportCatalog {
  readonly #exports = new Map<string, readonly ExportInfo[]>()
  readonly #readOnly: boolean

  /** `readOnly`: whoever comes this way changes nothing. */
  constructor(readOnly = false) {
    this.#readOnly = readOnly
  }

  update(aggregate: string, state: ServingState): void {
    const volumes = state.serves ? state.volumes : []
    this.#exports.set(
      aggregate,
      volumes.map(({ volume, name, size }) => ({
        name,
        description: `volume of aggregate ${aggregate}`,
        byteLength: size,
        readOnly: this.#readOnly,
        volume,
        aggregate,
      })),
    )
  }

  list(): readonly ExportInfo[] {
    return [...this.#exports.values()].flat()
  }

  find(name: string): ExportInfo | undefined {
    for (const exports of this.#exports.values()) {
      const found = exports.find((exportInfo) => exportInfo.name === name)
      if (found) return found
    }
    return undefined
  }
}

/** What of a catalogue one client may see: to it, the other exports do not exist. */
export class AllowedCatalogue implements ExportCatalog {
  readonly #all: ExportCatalog
  readonly #names: ReadonlySet<string>

  constructor(all: ExportCatalog, names: Iterable<string>) {
    this.#all = all
    this.#names = new Set(names)
  }

  list(): readonly ExportInfo[] {
    return this.#all.list().filter(({ name }) => this.#names.has(name))
  }

  find(name: string): ExportInfo | undefined {
    return this.#names.has(name) ? this.#all.find(name) : undefined
  }
}
