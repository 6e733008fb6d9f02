import { aligned, summaryTable } from '../../ts/cli/fio-summary.ts'
import type { Machine } from '../machine.ts'
import { isReached, limitText, type Section, valuesText } from './section.ts'

export function machineText({ cpu, cores, kernel, node, client, commit }: Machine): string {
  const machine = `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, commit ${commit}`
  if (client === '') return machine
  const how = `${client} over TCP loopback; medians; CPU seconds of the server's processes, owner first`
  return `${machine}\n${how}`
}

/** One section for a terminal. Notes are the caller's: several sections may have the same. */
export function sectionText({ title, how, summaries, verdicts, figures }: Section): string {
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
  ].join('\n')
}
