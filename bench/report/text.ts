import { aligned, summaryTable } from '../../ts/cli/fio-summary.ts'
import type { Machine } from '../machine.ts'
import { cellText, isReached, limitText, type Section, type Table, valuesText } from './section.ts'

export function machineText({ cpu, cores, kernel, node, client, commit }: Machine): string {
  const machine = `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, commit ${commit}`
  if (client === '') return machine
  const how = `${client} over TCP loopback; medians; CPU seconds of the server's processes, owner first`
  return `${machine}\n${how}`
}

/** One section for a terminal. Notes are the caller's: several sections may have the same. */
export function sectionText({ title, how, summaries, verdicts, figures, table }: Section): string {
  const verdictLines = verdicts.map((verdict) => [
    verdict.name,
    valuesText(verdict.values, verdict.unit),
    limitText(verdict),
    isReached(verdict) ? 'reached' : 'missed',
  ])
  const figureLines = figures.map(({ name, unit, values, remark = '' }) => [
    name,
    valuesText(values, unit),
    remark,
  ])
  return [
    `${title}: ${how}`,
    ...(summaries.length > 0 ? [summaryTable(summaries)] : []),
    ...(verdictLines.length > 0 ? ['', ...aligned(verdictLines)] : []),
    ...(figureLines.length > 0 ? ['', ...aligned(figureLines)] : []),
    ...(table === undefined ? [] : ['', ...tableLines(table)]),
  ].join('\n')
}

/** The first column of what is aligned is for words: an empty one has all others end at the right. */
function tableLines({ columns, rows }: Table): string[] {
  const heads = [columns.map(({ name }) => name), columns.map(({ unit }) => unit)]
  const lines = [...heads, ...rows.map((row) => row.map(cellText))]
  return aligned(
    lines.map((line) => ['', ...line]),
    false,
  )
}
