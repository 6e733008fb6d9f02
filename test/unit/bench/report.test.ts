import t from 'tap'
import { barChart, lineChart, roundAbove } from '../../../bench/report/chart.ts'
import { htmlPage } from '../../../bench/report/html.ts'
import { cellText, isReached, missed, numberText, valuesText } from '../../../bench/report/section.ts'
import { machineText, sectionText } from '../../../bench/report/text.ts'
import { machineOfTests, sectionWithAll } from './section.ts'

/** Elements that are opened and never closed, or closed and not open; and ampersands that begin nothing. */
function faultsOf(page: string): string[] {
  const faults: string[] = []
  const open: string[] = []
  const body = page.replace(/^<!doctype html>/, '').replace(/<style>[^<]*<\/style>/, '')
  for (const [tag, slash, name, attributes, selfClosed] of body.matchAll(
    /<(\/?)([a-z][a-z0-9]*)((?: [a-zA-Z-]+="[^"<]*")*)(\/?)>/g,
  )) {
    if (slash === '/') {
      if (open.pop() !== name || attributes !== '') faults.push(`${tag} closes what is not open`)
    } else if (selfClosed !== '/' && name !== 'meta') open.push(name!)
  }
  if (body.replace(/<\/?[a-z][a-z0-9]*(?: [a-zA-Z-]+="[^"<]*")*\/?>/g, '').includes('<'))
    faults.push('a stray <')
  if (/&(?!(amp|lt|gt|quot);)/.test(body)) faults.push('a stray &')
  return [...faults, ...open.map((name) => `${name} is never closed`)]
}

t.test('faults of a page are found', async (t) => {
  t.same(faultsOf('<p>a</p>'), [])
  for (const bad of ['<p>a', '<p>a</b></p>', '<p a=1>b</p>', 'a < b', 'a & b', '<p x="<">a</p>'])
    t.not(faultsOf(bad).length, 0, bad)
})

t.test('a page is whole, and needs nothing from elsewhere', async (t) => {
  const page = htmlPage(machineOfTests, [sectionWithAll(), { ...sectionWithAll(), title: 'again' }])
  t.same(faultsOf(page), [])
  t.notMatch(page, /<script|src=|href=|url\(|@import|https?:/)
  t.match(page, /prefers-color-scheme: dark/)
  t.match(page, /<html lang="en">/)
})

t.test('a page contains every figure', async (t) => {
  const page = htmlPage(machineOfTests, [sectionWithAll()])
  const machine = [
    'abc1234',
    'Processor &lt;1&gt; &amp; &quot;2&quot;',
    '2 cores',
    '8.0 GiB',
    '6.1.0',
    'v20.17.0',
  ]
  const summaries = ['40,000', '40.0k-40.0k', '123us', '4.6ms', '8.9ms', '164', '0.63 + 0.31', '2.00', '0.50']
  const verdicts = ['2.00 (1.00 to 3.00)', 'at least 1.50', '301 ms', 'at most 300 ms', 'not measured']
  const others = ['gap &lt;x&gt;', '42.0 (17.0 to 71.0) ms', 'up to 10 ms less', 'in two &lt;memories&gt;']
  const table = ['<th>volumes</th><th>open &amp; close, ms</th>', '<td>1,000</td><td>5,679</td>']
  const notes = ['all &amp; everything', '1 x 2 s, in turns', 'Debian package nbd-server']
  for (const text of [...machine, ...summaries, ...verdicts, ...others, ...table, ...notes])
    t.ok(page.includes(text), text)
  t.equal(page.match(/class="reached"/g)?.length, 1)
  t.equal(page.match(/class="missed"/g)?.length, 2)
})

t.test('bars are as long as what they stand for, and tell it', async (t) => {
  const { summaries } = sectionWithAll()
  const chart = barChart('title', summaries)
  t.same(faultsOf(chart), [])
  const widths = [...chart.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width))
  t.equal(widths.length, 2)
  t.equal(widths[0]! / widths[1]!, 2)
  t.match(chart, />40\.0k</)
  t.match(chart, />20\.0k</)
})

t.test('a chart has a line for each series, within the picture', async (t) => {
  const [chart] = sectionWithAll().charts
  const drawn = lineChart(chart!)
  t.same(faultsOf(drawn), [])
  const lines = [...drawn.matchAll(/class="line line\d" d="M([^"]*)"/g)].map(([, path]) =>
    path!.split('L').map((point) => point.split(' ').map(Number)),
  )
  t.equal(lines.length, 2)
  for (const [x, y] of lines.flat()) t.ok(x! >= 0 && x! <= 720 && y! >= 0 && y! <= 234)
  t.ok(lines[0]![1]![1]! < lines[0]![0]![1]!, 'more is higher')
  t.equal(lineChart({ ...chart!, series: [] }), '')
  t.notMatch(lineChart({ ...chart!, series: [{ name: 'flat', points: [[0, 0]] }] }), /NaN|Infinity/)
})

t.test('names of lines do not lie on each other, and belong to their lines', async (t) => {
  const at = (value: number) => [[1, value]] as const
  const series = [
    { name: 'low', points: at(100) },
    { name: 'high', points: at(101) },
    { name: 'far', points: at(1) },
  ]
  const drawn = lineChart({ title: '', xTitle: '', yTitle: '', series })
  const place = (name: string) => Number(new RegExp(`y="([0-9.]+)"[^>]*>${name}<`).exec(drawn)?.[1])
  t.ok(place('low') - place('high') >= 14)
  t.ok(place('far') > place('low') + 14)
})

t.test('axes end at a round number that nothing exceeds', async (t) => {
  t.same([0, 1, 3, 5, 9, 0.3, 85_747, 100].map(roundAbove), [1, 1, 4, 8, 10, 0.4, 100_000, 100])
})

t.test('a target is reached by the median, and never by nothing', async (t) => {
  const verdict = { name: '', unit: '', sense: 'at least', limit: 2 } as const
  t.ok(isReached({ ...verdict, values: [1, 2, 9] }))
  t.notOk(isReached({ ...verdict, values: [1, 1.9, 9] }))
  t.ok(isReached({ ...verdict, values: [1, 2, 9], sense: 'at most' }))
  t.notOk(isReached({ ...verdict, values: [] }))
  t.notOk(isReached({ ...verdict, values: [], sense: 'at most' }))
  t.notOk(isReached({ ...verdict, values: [Number.NaN], sense: 'at most' }))
  t.same(missed([sectionWithAll()]), [
    'all: bad is 301; it takes at most 300 ms',
    'all: unknown is not measured; it takes at most 1.00 %',
  ])
})

t.test('the text for a terminal contains the same', async (t) => {
  const text = sectionText(sectionWithAll())
  t.match(text, /^all & everything: 1 x 2 s, in turns\n/)
  t.match(text, /pollux pair +40\.0k/)
  t.match(text, /good +2\.00 \(1\.00 to 3\.00\) +at least 1\.50 +reached/)
  t.match(text, /bad +301 ms +at most 300 ms +missed/)
  t.match(text, /unknown +not measured +at most 1\.00 % +missed/)
  t.match(text, /gap <x> +42\.0 \(17\.0 to 71\.0\) ms +up to 10 ms less/)
  const table = [
    'volumes  open & close',
    '                   ms',
    '      1          12.3',
    '  1,000         5,679',
  ]
  t.match(text, table.map((line) => `    ${line}`).join('\n'))
  t.match(
    machineText(machineOfTests),
    /2 cores, Linux 6\.1\.0, Node v20\.17\.0, commit abc1234\nfio-3\.33 over TCP/,
  )
  t.notMatch(machineText({ ...machineOfTests, client: '' }), /TCP/)
})

t.test('numbers have three digits that count', async (t) => {
  t.same([0, 0.0123, 0.5, 12.34, 1234.5].map(numberText), ['0.00', '0.012', '0.50', '12.3', '1,235'])
  t.equal(numberText(Number.NaN), '-')
  t.same([1, 1000, 12.34, 1234.5].map(cellText), ['1', '1,000', '12.3', '1,235'], 'counts have all of them')
  t.equal(valuesText([], '%'), 'not measured')
  t.equal(valuesText([7], 'ms'), '7.00 ms')
})
