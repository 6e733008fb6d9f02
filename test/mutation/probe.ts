import { explore } from '../model/explore.ts'
import { beginnings } from '../model/pair.ts'
import { scenarios } from '../model/scenarios.ts'
import { runSeed } from '../sim/run.ts'
import { crashEverywhere, emptyTally, sequences } from '../sim/scope/explore.ts'
import { operations } from '../sim/scope/operations.ts'

/** What a checker says about the program beside it; the last line of its output, as JSON. */
export interface Finding {
  readonly caught: boolean
  /** sequences, seeds or states that were needed */
  readonly needed: number
  readonly words: string
}

/** Runs one checker on this copy of the program until it finds something. */
function probe(checker: string, limit: number): Finding {
  switch (checker) {
    case 'scope':
      return probeScope(limit)
    case 'sim':
      return probeSim(1, limit)
    case 'seed':
      return probeSim(limit, limit)
    default:
      return probeModel(limit)
  }
}

function probeScope(limit: number): Finding {
  const tally = emptyTally()
  for (const steps of sequences(operations, 3)) {
    if (tally.sequences >= limit) break
    const failure = crashEverywhere(steps, 'vault', tally)
    if (failure !== undefined)
      return { caught: true, needed: tally.sequences, words: `${steps.join(', ')}: ${failure}` }
  }
  return { caught: false, needed: tally.sequences, words: '' }
}

function probeSim(from: number, limit: number): Finding {
  for (let seed = from; seed <= limit; seed += 1) {
    const { failure } = runSeed(seed)
    if (failure !== undefined) return { caught: true, needed: seed, words: `seed ${seed}: ${failure}` }
  }
  return { caught: false, needed: limit, words: '' }
}

function probeModel(limit: number): Finding {
  let states = 0
  for (const size of ['quick', 'full'] as const) {
    for (const scenario of scenarios) {
      const { states: count, failure } = explore(beginnings[scenario.begin](), scenario[size], limit)
      states += count
      if (failure !== undefined)
        return { caught: true, needed: states, words: `${scenario.name}: ${failure}` }
    }
  }
  return { caught: false, needed: states, words: '' }
}

function main(): void {
  const [checker = '', limit = '1'] = process.argv.slice(2)
  let finding: Finding
  try {
    finding = probe(checker, Number(limit))
  } catch (error) {
    finding = { caught: true, needed: 1, words: String(error instanceof Error ? error.stack : error) }
  }
  console.log(JSON.stringify(finding))
}

main()
