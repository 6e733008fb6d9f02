import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MIB } from '../ts/base/units.ts'
import { loads } from '../ts/cli/fio-loads.ts'
import { atEnd, tidily } from './cleanup.ts'
import { compare, type Plan, startAll, warmUp } from './compare/compare.ts'
import { usualServers } from './compare/server.ts'
import { missedTargets } from './compare/targets.ts'
import { type Machine, machine } from './machine.ts'
import { microSection } from './micro/micro.ts'
import { htmlPage } from './report/html.ts'
import { missed, type Section } from './report/section.ts'
import { machineText, sectionText } from './report/text.ts'
import { comparedSection } from './rows/compared.ts'
import { listText, type Settings, settingsFrom, UsageError, usage } from './settings.ts'

/** Progress is for people who wait at a terminal. */
function tell(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`)
}

function plansFrom({ loads: wanted, isQuick, rounds, seconds }: Settings): Plan[] {
  return wanted.map((load) => {
    const [usualRounds, usualSeconds] = !isQuick ? [10, 10] : load === loads[0] ? [5, 5] : [2, 3]
    return { load, rounds: rounds ?? usualRounds, secondsPerRound: seconds ?? usualSeconds }
  })
}

/** Servers that are started once, under one load after the other. */
async function* compared(settings: Settings): AsyncGenerator<Section> {
  const { parent, byteLength = 512 * MIB, durability, servers = usualServers } = settings
  const directory = mkdtempSync(join(parent, 'pollux-bench-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  const started = await startAll(
    servers,
    { directory, byteLength, pollux: { durability, diskFactor: 8 } },
    tell,
  )
  await warmUp(started.servers, settings.seconds ?? 3, tell)
  for (const plan of plansFrom(settings)) {
    const comparison = await compare(started.servers, plan, tell)
    const { name } = plan.load
    const section = comparedSection({ name, title: name, targets: [] }, comparison)
    const how = `${plan.rounds} x ${plan.secondsPerRound} s, in turns`
    yield { ...section, how, notes: started.notes }
  }
}

/** Rows of the targets, or tables: each has what it needs started, and leaves nothing behind. */
async function* partSections(settings: Settings): AsyncGenerator<Section> {
  const { rows, tables, rounds, seconds, byteLength, minutes, fillByteLength, isQuick, parent, servers } =
    settings
  const more = servers ?? []
  const how = { rounds, seconds, byteLength, minutes, fillByteLength, isQuick, parent, more, tell }
  for (const part of [...rows, ...tables]) yield await tidily(() => part.run(how))
}

async function* microSections({ isQuick, rounds }: Settings): AsyncGenerator<Section> {
  yield microSection({ isSmall: isQuick, ...(rounds === undefined ? {} : { rounds }) }, tell)
}

/** The tables come as they are done; what is JSON and compared comes in one line at the end. */
class Reporter {
  readonly #settings: Settings
  readonly #about: Machine
  readonly #sections: Section[] = []

  constructor(settings: Settings, about: Machine) {
    this.#settings = settings
    this.#about = about
    if (!settings.isJson) console.log(machineText(about))
  }

  async take(sections: AsyncGenerator<Section>): Promise<Section[]> {
    // that it cannot be written is better known now
    this.#writePage()
    for await (const section of sections) {
      tell('')
      this.#sections.push(section)
      if (!this.#settings.isJson) console.log(`\n${sectionText(section)}`)
      else if (this.#settings.mode !== 'compare') console.log(JSON.stringify({ ...this.#about, ...section }))
      this.#writePage()
    }
    this.#end()
    return this.#sections
  }

  /** After each section, so that an interrupted run has one, too. */
  #writePage(): void {
    const { html } = this.#settings
    if (html !== undefined) writeFileSync(html, htmlPage(this.#about, this.#sections))
  }

  #end(): void {
    const { isJson, mode } = this.#settings
    const notes = [...new Set(this.#sections.flatMap((section) => section.notes))]
    if (!isJson) for (const note of notes) console.log(`\nnote: ${note}`)
    if (!isJson || mode !== 'compare') return
    const results = this.#sections.map(({ name, how, summaries }) => ({
      workload: name,
      how,
      servers: summaries,
    }))
    console.log(JSON.stringify({ ...this.#about, notes, results }))
  }
}

const sectionsOf = {
  compare: compared,
  rows: partSections,
  scale: partSections,
  micro: microSections,
} as const

async function main(): Promise<number> {
  const settings = settingsFrom(process.argv.slice(2))
  const { mode } = settings
  if (mode === 'help' || mode === 'list') {
    console.log(mode === 'help' ? usage : listText())
    return 0
  }
  const reporter = new Reporter(settings, await machine(mode !== 'micro'))
  const sections = await reporter.take(sectionsOf[mode](settings))
  if (!settings.isAsserting) return 0
  const sentences = mode === 'compare' ? missedTargets(sections[0]?.summaries ?? []) : missed(sections)
  for (const sentence of sentences) console.error(`bench: ${sentence}`)
  return sentences.length === 0 ? 0 : 1
}

/** Wrong usage of this program, as opposed to what went wrong while it ran. */
function isUsageError(error: unknown): boolean {
  return (
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
  )
}

try {
  process.exit(await main())
} catch (error) {
  const text = error instanceof Error ? error.message : String(error)
  console.error(`bench: ${text}${isUsageError(error) ? `\n${usage}` : ''}`)
  process.exit(isUsageError(error) ? 2 : 1)
}
