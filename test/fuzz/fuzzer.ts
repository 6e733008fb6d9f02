import { Random } from '../sim/random.ts'
import type { Coverage } from './coverage.ts'
import { Mutator, tokensOf } from './mutate.ts'
import type { Target } from './target.ts'

export interface Failure {
  readonly input: Uint8Array
  readonly error: Error
}

export interface Options {
  readonly seed: number
  /** false: nothing is learnt from what inputs do */
  readonly isGuided?: boolean
  /** called before each input */
  readonly begins?: (input: Uint8Array) => void
}

const CORPUS_MAX = 4000
const MINIMIZING_RUNS_MAX = 4000

/**
 * Looks for inputs that a target does not stand: changes those of a corpus, and adds to it whatever reaches a
 * branch that none had reached, or goes through one more often. What it does follows from the seed alone.
 */
export class Fuzzer {
  executions = 0
  readonly corpus: Uint8Array[] = []
  readonly #target: Target
  readonly #coverage: Coverage
  readonly #options: Options
  readonly #random: Random
  readonly #mutator: Mutator

  constructor(target: Target, coverage: Coverage, options: Options) {
    this.#target = target
    this.#coverage = coverage
    this.#options = options
    this.#random = new Random(options.seed)
    this.#mutator = new Mutator(this.#random, tokensOf(coverage.constants), target.byteLengthMax)
    coverage.forget()
  }

  /** Runs the seeds, then goes on as long as it may. Undefined: nothing was found. */
  run(mayGoOn: (executions: number) => boolean): Failure | undefined {
    for (const seed of this.#target.seeds()) {
      const failure = this.#try(seed, true)
      if (failure) return failure
    }
    while (mayGoOn(this.executions)) {
      const failure = this.#try(this.#mutator.change(this.#choose(), this.#random.pick(this.corpus)), false)
      if (failure) return failure
    }
    return undefined
  }

  /** What has come last is the least explored. */
  #choose(): Uint8Array {
    const { corpus } = this
    const recent = Math.min(corpus.length, 16)
    if (this.#random.chance(0.3)) return corpus[corpus.length - 1 - this.#random.below(recent)]!
    return this.#random.pick(corpus)
  }

  #try(input: Uint8Array, isSeed: boolean): Failure | undefined {
    this.executions += 1
    this.#coverage.begin()
    const error = this.#errorOf(input)
    if (error) return { input, error }
    const isNew = this.#coverage.end()
    if (isSeed || (isNew && this.#options.isGuided !== false)) this.#keep(input)
    return undefined
  }

  #keep(input: Uint8Array): void {
    if (this.corpus.length < CORPUS_MAX) this.corpus.push(input)
    else this.corpus[this.#random.below(CORPUS_MAX)] = input
  }

  #errorOf(input: Uint8Array): Error | undefined {
    this.#options.begins?.(input)
    try {
      this.#target.run(input)
      return undefined
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** A short input that fails in the same way, with zeroes wherever its bytes do not matter. */
  minimize({ input, error }: Failure): Failure {
    const kind = kindOf(error)
    let best: Failure = { input, error }
    let runs = 0
    const isBetter = (candidate: Uint8Array): boolean => {
      runs += 1
      const other = this.#errorOf(candidate)
      if (other === undefined || kindOf(other) !== kind) return false
      best = { input: candidate, error: other }
      return true
    }
    for (let size = input.length; size >= 1 && runs < MINIMIZING_RUNS_MAX; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.input.length && runs < MINIMIZING_RUNS_MAX; ) {
        if (!isBetter(without(best.input, at, size))) at += size
      }
    }
    for (let at = 0; at < best.input.length && runs < 2 * MINIMIZING_RUNS_MAX; at += 1) {
      if (best.input[at] !== 0) isBetter(best.input.with(at, 0))
    }
    return best
  }
}

const without = (bytes: Uint8Array, at: number, count: number): Uint8Array =>
  new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]))

/** Failures of one kind differ in numbers only. */
const kindOf = ({ name, message }: Error): string =>
  `${name} ${message.replace(/[0-9a-f]+/g, '#')}`.slice(0, 60)
