import { duration, type Summary, thousands } from '../../ts/cli/fio-summary.ts'
import type { Machine } from '../machine.ts'
import { barChart, escaped, lineChart } from './chart.ts'
import {
  cellText,
  type Figure,
  isReached,
  limitText,
  numberText,
  type Section,
  type Table,
  type Verdict,
  valuesText,
} from './section.ts'

const style = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1c20; --soft: #5d6470; --rule: #dde1e7;
  --ours: #1f6feb; --theirs: #9aa4b2; --good: #1a7f37; --bad: #b3261e; --second: #c2620a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14161a; --ink: #e8eaee; --soft: #9aa4b2; --rule: #2c313a; --ours: #5b9dff;
    --theirs: #6b7482; --good: #4cc26b; --bad: #ff7b72; --second: #f0a35a; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 0; }
p { color: var(--soft); margin: .2rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; width: 100%; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .6rem; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child, .word { text-align: left; }
.word { min-width: 9rem; white-space: normal; }
.reached { color: var(--good); } .missed { color: var(--bad); }
svg { display: block; height: auto; margin: .5rem 0; max-width: 45rem; width: 100%; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .tick { fill: var(--soft); font-size: 11px; }
.ours { fill: var(--ours); } .theirs { fill: var(--theirs); }
.spread { stroke: var(--ink); stroke-width: 1.5; }
.grid { stroke: var(--rule); } .line { fill: none; stroke: var(--ours); stroke-width: 2; }
.line1 { stroke: var(--second); }
`

/** A page that needs nothing but itself. */
export function htmlPage(about: Machine, sections: readonly Section[]): string {
  const verdicts = sections.flatMap((section) => section.verdicts.map((verdict) => ({ section, verdict })))
  const notes = [...new Set(sections.flatMap((section) => section.notes))]
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><title>Pollux benchmarks</title>',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<style>${style}</style></head><body>`,
    '<h1>Pollux benchmarks</h1>',
    ...aboutLines(about),
    verdicts.length === 0 ? '' : verdictTable(verdicts),
    ...sections.map(sectionHtml),
    ...notes.map((note) => `<p>Note: ${escaped(note)}</p>`),
    '</body></html>',
    '',
  ].join('\n')
}

function aboutLines({ cpu, cores, memoryByteLength, kernel, node, commit, client, time }: Machine): string[] {
  const memory = `${(memoryByteLength / 2 ** 30).toFixed(1)} GiB`
  const machine = `${cpu}, ${cores} cores, ${memory}, Linux ${kernel}, Node ${node}`
  const how = client === '' ? '' : `, loaded by ${client} over TCP loopback`
  return [`<p>${escaped(`${machine}${how}; commit ${commit}, ${time}`)}</p>`]
}

function verdictTable(verdicts: readonly { section: Section; verdict: Verdict }[]): string {
  const rows = verdicts.map(({ section, verdict }) => {
    const isGood = isReached(verdict)
    const word = isGood ? 'reached' : 'missed'
    const value = valuesText(verdict.values, verdict.unit)
    return [
      { text: section.title, isWord: true },
      { text: verdict.name, isWord: true },
      { text: value },
      { text: limitText(verdict) },
      { text: word, kind: word },
    ]
  })
  return tableHtml(['work', 'figure', 'measured', 'target', ''], rows)
}

function sectionHtml({ title, how, summaries, figures, charts, table }: Section): string {
  return [
    `<section><h2>${escaped(title)}</h2><p>${escaped(how)}</p>`,
    summaries.length === 0 ? '' : `${barChart(title, summaries)}${summaryTableHtml(summaries)}`,
    ...charts.map((chart) => lineChart(chart)),
    figures.length === 0 ? '' : figureTable(figures),
    table === undefined ? '' : numberTable(table),
    '</section>',
  ].join('\n')
}

function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, unit, values, remark = '' }) => [
    { text: name },
    { text: valuesText(values, unit) },
    { text: remark, isWord: true },
  ])
  return tableHtml(['figure', 'median and range', ''], rows)
}

function numberTable({ columns, rows }: Table): string {
  const head = columns.map(({ name, unit }) => (unit === '' ? name : `${name}, ${unit}`))
  return tableHtml(
    head,
    rows.map((row) => row.map((value) => ({ text: cellText(value) }))),
  )
}

function summaryTableHtml(summaries: readonly Summary[]): string {
  const others = summaries.map(({ server }) => server)
  const head = ['server', 'IOPS', 'min-max', 'MB/s', 'p50', 'p99', 'p99.9', 'flush p50', 'CPU s/100k']
  const rows = summaries.map((summary) => [
    { text: summary.server },
    { text: numberText(summary.iops) },
    { text: `${thousands(summary.iopsMin)}-${thousands(summary.iopsMax)}` },
    { text: numberText(summary.bytesPerSecond / 1e6) },
    { text: duration(summary.p50Us) },
    { text: duration(summary.p99Us) },
    { text: duration(summary.p999Us) },
    { text: summary.flushP50Us === null ? '-' : duration(summary.flushP50Us) },
    { text: summary.cpuSecondsPer100k.map((seconds) => seconds.toFixed(2)).join(' + ') || '-' },
    ...others.map((other) => ({ text: summary.ratios[other]?.toFixed(2) ?? '-' })),
    { text: summary.durability, isWord: true },
  ])
  return tableHtml([...head, ...others.map((other) => `x ${other}`), 'acknowledged'], rows)
}

interface Cell {
  readonly text: string
  readonly isWord?: boolean
  readonly kind?: string
}

function tableHtml(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cell = ({ text, isWord = false, kind = '' }: Cell): string => {
    const names = [isWord ? 'word' : '', kind].filter((name) => name !== '').join(' ')
    return `<td${names === '' ? '' : ` class="${names}"`}>${escaped(text)}</td>`
  }
  const isWord = (column: number) => rows[0]?.[column]?.isWord === true
  const heads = head
    .map((text, column) => `<th${isWord(column) ? ' class="word"' : ''}>${escaped(text)}</th>`)
    .join('')
  const lines = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`)
  const table = `<thead><tr>${heads}</tr></thead><tbody>${lines.join('')}</tbody>`
  return `<div class="wide"><table>${table}</table></div>`
}
