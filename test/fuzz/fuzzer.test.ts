import t from 'tap'
import { Coverage } from './coverage.ts'
import { type Failure, Fuzzer } from './fuzzer.ts'
import { instrument } from './instrument.ts'
import type { Target } from './target.ts'

const coverage = Coverage.start()
const { target: planted } = await import('./targets/planted.ts')
/** Blind chance would need some 2^32 of them. */
const EXECUTIONS_MAX = 200_000

function look(isGuided: boolean, seed: number): { fuzzer: Fuzzer; failure: Failure | undefined } {
  const fuzzer = new Fuzzer(planted, coverage, { seed, isGuided })
  const failure = fuzzer.run((executions) => executions < EXECUTIONS_MAX)
  return { fuzzer, failure }
}

t.test('a bug behind nested conditions is found by guidance, and not by chance', async (t) => {
  for (const seed of [1, 2, 3]) {
    const { fuzzer, failure } = look(true, seed)
    t.match(failure?.error, { name: 'RangeError', message: 'the planted bug' })
    t.comment(`${fuzzer.executions} inputs`)
    t.equal(look(false, seed).failure, undefined, 'what is not guided does not come there')
  }
})

t.test('a seed does the same every time', async (t) => {
  const [first, second] = [look(true, 7), look(true, 7)]
  t.same(first.failure?.input, second.failure?.input)
  t.equal(first.fuzzer.executions, second.fuzzer.executions)
})

t.test('an input that fails is made as short as it can be, with zeroes where nothing matters', async (t) => {
  const picky: Target = {
    ...planted,
    run(input) {
      const at = input.indexOf(77)
      if (at >= 0 && input[at + 2] === 5) throw new Error(`at ${at}`)
      if (input.length > 40) throw new Error('too long')
    },
  }
  const fuzzer = new Fuzzer(picky, coverage, { seed: 1 })
  const input = Uint8Array.from({ length: 60 }, (_, index) => 100 + index)
  input.set([77, 9, 5], 30)
  const minimized = fuzzer.minimize({ input, error: new Error('at 30') })
  t.same([...minimized.input], [77, 0, 5])
  t.equal(minimized.error.message, 'at 0', 'and fails in the same way')
})

const source = `export function f(a, b) {
  if (a > 1) return 'large'
  else if (a < 0) for (const c of b) { if (c) continue; break }
  const g = (x) => x ? { y: x } : [x]
  switch (a) { case 0: return g(a && b) ; default: }
  do a += 1; while (a < 3)
  try { return b ?? g(1) } catch { return 12345 }
}
export const name = 'text'`

t.test('a module with counters does what it did, on the same lines', async (t) => {
  const { code, end } = instrument(source, 100)
  t.equal(code.split('\n').length, source.split('\n').length)
  const counters = new Uint8Array(200)
  const entered: unknown[] = []
  const enter = (first: number, constants: unknown) => {
    entered.push(first, constants)
    return counters
  }
  const load = (text: string) =>
    new Function('__fuzz', `${text.replaceAll('export ', '')};return f`)({ enter }) as (
      a: number,
      b: unknown,
    ) => unknown
  const [plain, counted] = [load(source), load(code)]
  for (const [a, b] of [
    [5, 0],
    [-3, [1, 0, 1]],
    [0, 7],
    [1, undefined],
    [-1, []],
  ] as const)
    t.same(counted(a, b), plain(a, b))
  t.same(entered, [end, ['large', 12345, 'text']])
  const used = Array.from(counters.entries()).filter(([, count]) => count > 0)
  t.ok(used.length > 10 && used.every(([at]) => at >= 100 && at < end), `${used.length} of ${end - 100}`)
})
