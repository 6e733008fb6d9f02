import { resolve } from 'node:path'
import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { BLOCK_SIZE } from '../base/units.ts'
import { byteLengthText } from '../config/quantities.ts'
import { readLabel } from '../disk/label.ts'
import { identityText } from '../format/identity.ts'
import type { Disk } from '../ports/disk.ts'
import { type AggregateReport, checkPlexes } from '../volume/check-plexes.ts'
import { type DiskWorld, runProcedure } from './in-process.ts'
import { progress, say, sayJson } from './output.ts'

/** `pollux check`: offline check of the aggregates whose disks are given. Fails if anything is wrong. */
export async function check(paths: readonly string[], options: { json?: true }): Promise<void> {
  progress('checking everything that the newest superblock reaches')
  const reports = runProcedure((world) =>
    checkAll(
      world,
      paths.map((path) => resolve(path)),
    ),
  )
  const problemCount = reports.reduce((sum, report) => sum + report.problemCount, 0)
  const good = reports.every((report) => report.good)
  if (options.json) sayJson({ good, problemCount, aggregates: reports })
  else for (const report of reports) say(reportText(report))
  if (good) return
  const first = reports.flatMap((report) => report.problems)[0]?.text ?? 'see above'
  const count = `${problemCount} ${problemCount === 1 ? 'problem' : 'problems'}`
  throw new StoreError('DISK_CORRUPT', `${count} found, the first: ${first}; put the disk aside for a copy`)
}

function* checkAll(world: DiskWorld, paths: readonly string[]): Procedure<AggregateReport[]> {
  const disks: Disk[] = []
  try {
    for (const path of paths) disks.push(world.disks.open(path))
    const groups = new Map<string, Disk[]>()
    for (const disk of disks) {
      const verdict = yield* readLabel(disk, world.memory)
      const whose = verdict.kind === 'good' ? identityText(verdict.label.aggregate) : disk.path
      groups.set(whose, [...(groups.get(whose) ?? []), disk])
    }
    const reports: AggregateReport[] = []
    for (const group of groups.values()) reports.push(yield* checkPlexes(group, world.memory))
    return reports
  } finally {
    for (const disk of disks) disk.close()
  }
}

function reportText(report: AggregateReport): string {
  const { aggregate, epoch, generation, totals, volumes, notes, problems, problemCount } = report
  const used = byteLengthText(totals.used * BLOCK_SIZE)
  const state = report.good ? 'good' : `${problemCount} problems`
  const hidden = problemCount - problems.length
  return [
    `aggregate ${aggregate}: ${state}; epoch ${epoch}, generation ${generation}`,
    `  ${volumes.length} volumes, ${used} used`,
    ...notes.map((text) => `  ${text}`),
    ...problems.map(({ kind, text }) => `  ${kind}: ${text}`),
    ...(hidden > 0 ? [`  and ${hidden} more`] : []),
  ].join('\n')
}
