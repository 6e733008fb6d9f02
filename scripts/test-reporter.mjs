// Reporter for `node --test`: what failed, in full, what was skipped, and which files took long; passing
// tests are only counted.
// The counts go to the file named by POLLUX_TEST_SUMMARY, where scripts/test.mjs adds up the suites.
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'

const OUTPUT_LIMIT = 64 * 1024
const LONG_MS = 30_000
const ansiColor = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g')

export default async function* report(events) {
  const state = {
    counts: {},
    skipped: [],
    failures: 0,
    titles: [],
    output: new Map(),
    failedFiles: new Set(),
    times: new Map(),
  }
  for await (const { type, data } of events) {
    const text = handlers[type]?.(state, data)
    if (text) yield text
  }
  for (const file of state.failedFiles) {
    const output = state.output.get(file)
    if (output) yield `\n--- output of ${shown(file)}\n${output}\n`
  }
  for (const [file, { firstMs, lastMs }] of state.times) {
    const tookMs = lastMs - firstMs
    if (tookMs > LONG_MS) yield `${shown(file)}: ${Math.round(tookMs / 1000)} s\n`
  }
  if (process.env.POLLUX_TEST_SUMMARY) {
    const { counts, skipped, failures } = state
    writeFileSync(process.env.POLLUX_TEST_SUMMARY, JSON.stringify({ counts, skipped, failures }))
  }
}

const handlers = {
  // unlike the others, these two come when it happens
  'test:dequeue': noteTime,
  'test:complete': noteTime,
  'test:start': (state, { nesting, name }) => {
    state.titles.length = nesting
    state.titles[nesting] = name
  },
  'test:pass': (state, data) => {
    if (data.skip !== undefined || data.todo !== undefined) return note(state, data)
    // A file is itself a test only when nothing in it was one.
    if (data.name !== data.file) return undefined
    return failed(state, data, 'the file has no t.test in it; assertions outside of one are not counted')
  },
  'test:fail': (state, data) => {
    const error = data.details?.error
    if (error?.failureType === 'subtestsFailed') return undefined
    const exit =
      error?.exitCode || error?.signal ? ` (exit code ${error.exitCode}, signal ${error.signal})` : ''
    return failed(state, data, `${error?.message ?? 'failed'}${exit}`)
  },
  'test:diagnostic': (state, { nesting, message }) => {
    const count = nesting === 0 && /^([a-z_]+) ([\d.]+)$/.exec(message)
    if (count) state.counts[count[1]] = Number(count[2])
  },
  'test:stdout': keep,
  'test:stderr': keep,
}

function failed(state, data, reason) {
  state.failures += 1
  if (data.file) state.failedFiles.add(data.file)
  const titles = [...state.titles.slice(0, data.nesting), data.name].filter(Boolean).map(shown).join(' > ')
  const place = data.file ? `\n  ${shown(data.file)}:${data.line ?? 1}` : ''
  return `\nFAILED ${titles}${place}\n${reason.replace(ansiColor, '').replace(/^/gm, '  ')}\n`
}

function noteTime({ times }, { file }) {
  if (!file) return
  const nowMs = Date.now()
  const time = times.get(file)
  if (time) time.lastMs = nowMs
  else times.set(file, { firstMs: nowMs, lastMs: nowMs })
}

function note(state, data) {
  const reason = [data.skip, data.todo].find((value) => typeof value === 'string' && value !== '')
  if (!reason) return failed(state, data, 'skipped without a reason')
  // Without the titles around it: tap reports a skip before the test that it is part of.
  state.skipped.push({ title: data.name, reason })
  return undefined
}

function keep(state, { file, message }) {
  const output = (state.output.get(file) ?? '') + message
  state.output.set(file, output.slice(-OUTPUT_LIMIT))
}

function shown(path) {
  return path.startsWith('/') ? relative(process.cwd(), path) : path
}
