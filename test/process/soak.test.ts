import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { mustRun, run, until } from '../support/program.ts'

const minutes = process.env['POLLUX_SOAK_MINUTES'] ?? '1'
const seed = process.env['POLLUX_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31))
const program = fileURLToPath(new URL('../soak/main.js', import.meta.url))

/** Folders, processes and loop devices of soaks. */
async function traces(): Promise<string[]> {
  const mark = 'pollux-soak-'
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(mark))
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOf(name, mark))
  const { stdout } = await mustRun('losetup', ['--all'])
  const loops = stdout.split('\n').filter((line) => line.includes(mark))
  return [...folders, ...processes, ...loops]
}

function isOf(pid: string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark)
  } catch {
    return false
  }
}

function nothingLeft(before: readonly string[]): Promise<true> {
  const isGone = async () => (await traces()).every((trace) => before.includes(trace))
  return until('nothing of the soak is left', async () => (await isGone()) || undefined)
}

t.test('a pair of real processes survives a minute of everything', async (t) => {
  const before = await traces()
  const words = ['--enable-source-maps', program, '--minutes', minutes, '--seed', seed]
  const timeoutMs = (Number(minutes) * 60 + 480) * 1000
  const { code, stdout, stderr } = await run(process.execPath, words, { timeoutMs })
  t.comment(`${stdout}${stderr}`)
  t.equal(code, 0, `soak with seed ${seed}`)
  if (code === 0) await nothingLeft(before)
})

t.test('a soak that is interrupted leaves nothing behind', async (t) => {
  const before = await traces()
  const child = spawn(process.execPath, [program, '--minutes', '5'], { stdio: 'ignore' })
  const exit = new Promise((resolve) => child.once('exit', resolve))
  await until('it has made its disks', async () => (await traces()).length > before.length || undefined)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  child.kill('SIGINT')
  t.equal(await exit, 130)
  await nothingLeft(before)
})
