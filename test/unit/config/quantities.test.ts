import t from 'tap'
import {
  byteLengthText,
  exactByteLengthText,
  parseByteLength,
  parseDurationMs,
} from '../../../ts/config/quantities.ts'

t.test('sizes are read with their unit', async (t) => {
  const cases: [string, number][] = [
    ['0B', 0],
    ['4096B', 4096],
    ['1KiB', 1024],
    ['128MiB', 128 * 2 ** 20],
    ['1.5 GiB', 1.5 * 2 ** 30],
    [' 2TiB ', 2 * 2 ** 40],
  ]
  for (const [text, value] of cases) t.same(parseByteLength(text), { value }, text)
})

t.test('a size without a unit, or with one that means something else, is a mistake', async (t) => {
  for (const text of [
    '',
    '128',
    '1MB',
    '1 mib',
    '-1MiB',
    '1e3MiB',
    '1,5GiB',
    '0.3B',
    '9999999TiB',
    'constructor',
  ]) {
    const parsed = parseByteLength(text)
    t.ok('mistake' in parsed, JSON.stringify(text))
    t.match(parsed, { mistake: JSON.stringify(text) }, 'the mistake names what was written')
  }
})

t.test('durations are read with their unit', async (t) => {
  t.same(parseDurationMs('1500ms'), { value: 1500 })
  t.same(parseDurationMs('1.5s'), { value: 1500 })
  t.same(parseDurationMs('2min'), { value: 120_000 })
  t.same(parseDurationMs('7d'), { value: 7 * 24 * 3_600_000 })
  for (const text of ['5', '1w', '0.5ms', '1m']) t.ok('mistake' in parseDurationMs(text), text)
})

t.test('an exact size is written so that it is read back as the same', async (t) => {
  for (const size of [0, 1, 1023, 1024, 4096, 5000, 2 ** 20, 3 * 2 ** 20, 2 ** 30 + 4096, 2 ** 41]) {
    t.same(parseByteLength(exactByteLengthText(size)), { value: size }, exactByteLengthText(size))
  }
})

t.test('sizes for people are short', async (t) => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [512, '512 B'],
    [1536, '1.5 KiB'],
    [2 ** 30, '1 GiB'],
    [200.4 * 2 ** 20, '200 MiB'],
  ]
  for (const [size, text] of cases) t.equal(byteLengthText(size), text)
})
