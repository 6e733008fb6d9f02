import { register } from 'node:module'
import type { Constant } from './instrument.ts'

const COUNTERS_MAX = 1 << 16

/** Counters are only told apart by these: whether a loop ran 20 or 21 times is no news. */
const bucketOf = new Uint8Array(256)
for (let count = 1; count < 256; count += 1) {
  const bounds = [1, 2, 3, 7, 15, 31, 127, 255]
  bucketOf[count] = 1 << bounds.findIndex((bound) => count <= bound)
}

/** Which branches of the modules that were loaded since `start` an input has gone through, and how often. */
export class Coverage {
  readonly constants = new Set<Constant>()
  readonly #counters = new Uint8Array(COUNTERS_MAX)
  readonly #seen = new Uint8Array(COUNTERS_MAX)
  #words = new Uint32Array(this.#counters.buffer, 0, 0)

  /** From now on modules are loaded with counters; those that are there already have none. */
  static start(): Coverage {
    const coverage = new Coverage()
    Object.assign(globalThis, { __fuzz: coverage })
    register(new URL('./hooks.js', import.meta.url))
    return coverage
  }

  /** Called by every module that has counters, when it is loaded. */
  enter(end: number, constants: readonly Constant[]): Uint8Array {
    if (end > COUNTERS_MAX) throw new Error(`there are more than ${COUNTERS_MAX} branches`)
    const words = Math.ceil(end / 4)
    if (words > this.#words.length) this.#words = new Uint32Array(this.#counters.buffer, 0, words)
    for (const constant of constants) this.constants.add(constant)
    return this.#counters
  }

  /** All that was seen is forgotten, as if nothing had run. */
  forget(): void {
    this.#seen.fill(0)
  }

  begin(): void {
    this.#words.fill(0)
  }

  /** Whether something has happened since `begin` that had not happened before; it has from now on. */
  end(): boolean {
    const [words, counters, seen] = [this.#words, this.#counters, this.#seen]
    let isNew = false
    for (let word = 0; word < words.length; word += 1) {
      if (words[word] === 0) continue
      for (let at = word * 4; at < word * 4 + 4; at += 1) {
        const bucket = bucketOf[counters[at]!]!
        if ((seen[at]! & bucket) === bucket) continue
        seen[at]! |= bucket
        isNew = true
      }
    }
    return isNew
  }

  /** Branches that some input has gone through, and how many there are. */
  get branches(): { covered: number; all: number } {
    const all = this.#words.length * 4
    let covered = 0
    for (let at = 0; at < all; at += 1) if (this.#seen[at] !== 0) covered += 1
    return { covered, all }
  }
}
