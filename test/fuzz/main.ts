import { randomInt } from 'node:crypto'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Report } from './child.ts'
import { targetNames } from './registry.ts'
import { fuzzAll, repeat } from './run.ts'

const usage = `usage: node dist/test/fuzz/main.js [--seconds N] [--seed N] [--jobs N] [TARGET...]
       node dist/test/fuzz/main.js --input FILE TARGET
targets: ${targetNames.join(', ')}`

const { values, positionals } = parseArgs({
  options: {
    /** of all targets together */
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    jobs: { type: 'string', default: '1' },
    input: { type: 'string' },
  },
  allowPositionals: true,
})
const [seconds, seed, jobs] = [Number(values.seconds), Number(values.seed), Number(values.jobs)]
const targets = positionals.length > 0 ? positionals : targetNames
const isUsable = seconds > 0 && Number.isSafeInteger(seed) && Number.isInteger(jobs) && jobs > 0
const isKnown = targets.every((name) => targetNames.includes(name))
if (!isUsable || !isKnown || (values.input !== undefined && targets.length !== 1)) {
  console.error(usage)
  process.exitCode = 2
} else if (values.input !== undefined) {
  const failure = await repeat(targets[0]!, values.input)
  console.log(failure ?? 'the input does no harm')
  process.exitCode = failure === undefined ? 0 : 1
} else await fuzz()

async function fuzz(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-fuzz-'))
  console.log(`fuzz: ${targets.length} targets, seed ${seed}`)
  const each = (seconds * Math.min(jobs, targets.length)) / targets.length
  const reports = await fuzzAll({ targets, seed, seconds: each, jobs, folder, progress: show })
  show(undefined)
  for (const report of reports) console.log(lineOf(report))
  const failed = reports.filter(({ failure }) => failure)
  for (const { target, failure } of failed) {
    console.error(`\nfuzz: ${target} fails: ${failure!.error}`)
    if (failure!.path === '') continue
    console.error(`the input has ${failure!.byteLength} bytes and is ${failure!.path}`)
    console.error(`again with: node dist/test/fuzz/main.js --input ${failure!.path} ${target}`)
  }
  if (failed.length === 0) rmdirSync(folder)
  process.exitCode = failed.length === 0 ? 0 : 1
}

function lineOf({ target, executions, seconds: took, corpus, covered }: Report): string {
  const rate = Math.round(executions / Math.max(took, 0.001))
  return `${target.padEnd(13)} ${executions} inputs, ${rate}/s; ${covered} branches, ${corpus} inputs kept`
}

/** One line that changes, on a terminal alone. */
function show(report: Report | undefined): void {
  if (!process.stdout.isTTY) return
  process.stdout.write(report === undefined ? '\r\u001b[K' : `\r\u001b[K${lineOf(report).slice(0, 100)}`)
}
