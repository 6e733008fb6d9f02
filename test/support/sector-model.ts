import { readStamp, SECTOR, stamped } from './stamps.ts'

const ZERO = Buffer.alloc(SECTOR)

/** What each sector of a volume may hold, by what was asked for and what was answered. */
export class SectorModel {
  readonly sectorCount: number
  readonly #tag: number
  readonly #acknowledged: Uint32Array
  readonly #flushed: Uint32Array
  readonly #inFlight = new Map<number, number>()
  readonly #history = new Map<number, number[]>()
  readonly #zeroVersions = new Set<number>([0])
  #version = 0

  constructor(tag: number, sectorCount: number) {
    this.#tag = tag
    this.sectorCount = sectorCount
    this.#acknowledged = new Uint32Array(sectorCount)
    this.#flushed = new Uint32Array(sectorCount)
  }

  /** A change is about to be sent. Returns its version. */
  begin(first: number, count: number, isZero: boolean): number {
    this.#version += 1
    if (isZero) this.#zeroVersions.add(this.#version)
    for (let sector = first; sector < first + count; sector += 1) {
      this.#inFlight.set(sector, this.#version)
      const history = this.#history.get(sector)
      if (history) history.push(this.#version)
      else this.#history.set(sector, [this.#version])
    }
    return this.#version
  }

  acknowledge(first: number, count: number, version: number, isForced: boolean): void {
    for (let sector = first; sector < first + count; sector += 1) {
      this.#acknowledged[sector] = version
      this.#inFlight.delete(sector)
      if (isForced) this.#flushed[sector] = version
    }
  }

  /** What a flush that is sent now promises; hand it to `flushed` when its answer has come. */
  acknowledgedNow(): Uint32Array {
    return this.#acknowledged.slice()
  }

  flushed(before: Uint32Array): void {
    for (const [sector, version] of before.entries()) {
      if (version > this.#flushed[sector]!) this.#flushed[sector] = version
    }
  }

  /** Acknowledged versions by sector, for a comparison with what lies in a log; zeroes are left out. */
  acknowledgedStamps(): Map<number, number> {
    const found = new Map<number, number>()
    for (const [sector, version] of this.#acknowledged.entries()) {
      if (!this.#zeroVersions.has(version)) found.set(sector, version)
    }
    return found
  }

  content(sector: number, version: number): Buffer {
    return this.#zeroVersions.has(version) ? ZERO : stamped(this.#tag, sector, 1, version)
  }

  /** What is wrong with the content of a sector; undefined if nothing is. */
  judge(sector: number, content: Buffer, afterPowerLoss: boolean): string | undefined {
    const allowed = afterPowerLoss ? this.#sinceFlush(sector) : this.#latest(sector)
    if (allowed.some((version) => this.content(sector, version).equals(content))) return undefined
    const expected = allowed.map(
      (version) => `${version}${this.#zeroVersions.has(version) ? ' (zeroes)' : ''}`,
    )
    return `sector ${sector}: expected version ${expected.join(' or ')}, found ${describe(content)}`
  }

  #latest(sector: number): number[] {
    const open = this.#inFlight.get(sector)
    return open === undefined ? [this.#acknowledged[sector]!] : [this.#acknowledged[sector]!, open]
  }

  #sinceFlush(sector: number): number[] {
    const flushed = this.#flushed[sector]!
    return [flushed, ...(this.#history.get(sector) ?? []).filter((version) => version > flushed)]
  }
}

function describe(content: Buffer): string {
  const stamp = readStamp(content)
  if (stamp === 'zero') return 'zeroes'
  if (stamp === undefined) return `no stamp of ours: ${content.toString('hex', 0, 16)}`
  return `version ${stamp.version} of sector ${stamp.sector} of volume ${stamp.tag}`
}
