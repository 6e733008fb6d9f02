import t from 'tap'
import { figureOf, measure } from '../../../bench/micro/harness.ts'
import { microSection, micros } from '../../../bench/micro/micro.ts'

t.test('every micro benchmark runs, and does the same every time', async (t) => {
  for (const micro of micros) {
    const [first, again] = [measure(micro, 'small', 2), measure(micro, 'small', 2)]
    t.equal(first.values.length, 2, micro.name)
    t.ok(
      first.values.every((ns) => ns > 0 && Number.isFinite(ns)),
      micro.name,
    )
    t.equal(first.hash, again.hash, `${micro.name}: the hash tells that the same was computed`)
  }
})

t.test('their figures have names of their own, and a rate', async (t) => {
  const { figures } = microSection({ isSmall: true, rounds: 1 }, () => undefined)
  t.equal(new Set(figures.map(({ name }) => name)).size, micros.length)
  for (const { unit, remark } of figures) {
    t.match(unit, /^ns per /)
    t.match(remark, /M\/s, hash [0-9a-f]+$/)
  }
  t.match(figureOf({ name: 'a', per: 'b', values: [100, 50, 200], hash: 255 }), {
    unit: 'ns per b',
    remark: '10.0 M/s, hash ff',
  })
})
