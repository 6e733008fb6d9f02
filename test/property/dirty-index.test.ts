import fc from 'fast-check'
import t from 'tap'
import { DirtyIndex, NOT_DIRTY, ZERO_BLOCK } from '../../ts/log/dirty-index.ts'
import { runs } from './runs.ts'

const BLOCKS = 200
const volume = fc.integer({ min: 1, max: 4 })
const block = fc.nat(BLOCKS - 1)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('set' as const), volume, block, page: fc.nat(255) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('zero' as const), volume, block, page: fc.nat(100) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), volume, block, page: fc.nat(0) }) },
)

/** What the index is a fast form of: one entry per block. */
class Model {
  readonly pages = new Map<number, number>()
  readonly sequences = new Map<number, number>()

  key = (volume: number, block: number): number => volume * BLOCKS + block

  apply(action: { kind: string; volume: number; block: number; page: number }, sequence: number): void {
    const { kind, volume, block, page } = action
    if (kind === 'set') this.#put(volume, block, page, sequence)
    else if (kind === 'zero') {
      const end = Math.min(BLOCKS, block + 1 + page)
      for (let b = block; b < end; b += 1) this.#put(volume, b, ZERO_BLOCK, sequence)
    } else for (let b = 0; b < BLOCKS; b += 1) this.pages.delete(this.key(volume, b))
  }

  #put(volume: number, block: number, page: number, sequence: number): void {
    this.pages.set(this.key(volume, block), page)
    this.sequences.set(this.key(volume, block), sequence % 2 ** 32)
  }
}

function difference(index: DirtyIndex, model: Model): string | undefined {
  for (let v = 1; v <= 4; v += 1) {
    for (let b = 0; b < BLOCKS; b += 1) {
      const expected = model.pages.get(model.key(v, b)) ?? NOT_DIRTY
      const found = index.lookup(v, b)
      if (found !== expected) return `volume ${v} block ${b}: ${found}, not ${expected}`
      if (found === NOT_DIRTY || index.foundSequence === model.sequences.get(model.key(v, b))) continue
      return `volume ${v} block ${b}: entry ${index.foundSequence} is not the newest`
    }
  }
  const keys = Array.from(index.sortedKeys())
  const covered = new Set(keys.map((key) => model.key(Math.floor(key / 2 ** 32), key % 2 ** 32)))
  if (covered.size !== keys.length) return 'a block is listed twice'
  if (keys.some((key, i) => i > 0 && key <= keys[i - 1]!)) return 'the keys are not sorted'
  for (const [key, page] of model.pages) {
    const inRange = index
      .rangesOf(Math.floor(key / BLOCKS))
      .some(({ first, end }) => first <= key % BLOCKS && key % BLOCKS < end)
    if (!covered.has(key) && !(page === ZERO_BLOCK && inRange)) return `block ${key} is lost`
  }
  for (const key of covered) if (!model.pages.has(key)) return `block ${key} was never changed`
  return undefined
}

t.test('the dirty index holds what a map of blocks would hold', async (t) => {
  const property = fc.property(
    fc.array(step, { maxLength: 150, size: 'max' }),
    fc.boolean(),
    fc.constantFrom(1, 2 ** 31 - 40, 2 ** 32 - 40, 2 ** 45),
    (steps, clearFirst, firstSequence) => {
      const index = new DirtyIndex(2)
      if (clearFirst) {
        index.set(1, 1, 1, 1)
        index.zero(2, 0, 50, 1)
        index.clear()
      }
      const model = new Model()
      for (const [step, action] of steps.entries()) {
        const sequence = firstSequence + step
        model.apply(action, sequence)
        if (action.kind === 'set') index.set(action.volume, action.block, action.page, sequence)
        else if (action.kind === 'drop') index.dropVolume(action.volume, sequence)
        else
          index.zero(action.volume, action.block, Math.min(BLOCKS, action.block + 1 + action.page), sequence)
      }
      const wrong = difference(index, model)
      if (wrong !== undefined) throw new Error(wrong)
    },
  )
  fc.assert(property, runs(400))
  t.pass('no counterexample')
})
