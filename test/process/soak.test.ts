import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Random } from '../sim/random.ts'
import { planEpisode } from '../soak/plan.ts'
import { mustRun, run, scratch, until } from '../support/program.ts'

const minutes = process.env['POLLUX_SOAK_MINUTES'] ?? '1'
const seed = process.env['POLLUX_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31))
const program = fileURLToPath(new URL('../soak/main.js', import.meta.url))

/** Files, processes and loop devices of a soak that keeps its files in `folder`. */
async function traces(folder: string): Promise<string[]> {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && mentions(name, folder))
  const { stdout } = await mustRun('losetup', ['--all'])
  const loops = stdout.split('\n').filter((line) => line.includes(folder))
  return [...readdirSync(folder), ...processes, ...loops]
}

function mentions(pid: string, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder)
  } catch {
    return false
  }
}

const nothingLeft = (folder: string) =>
  until('nothing of the soak is left', async () => (await traces(folder)).length === 0)

t.test('a seed has one plan', async (t) => {
  const means = { network: true, disks: true }
  const plan = (seed: number) => planEpisode(new Random(seed), 20_000, means)
  t.same(plan(7), plan(7))
  t.not(JSON.stringify(plan(7)), JSON.stringify(plan(8)))
  const without = Array.from({ length: 50 }, (_, seed) =>
    planEpisode(new Random(seed), 20_000, { network: false, disks: false }),
  )
  t.notOk(without.flat().some(({ kind }) => ['link', 'path', 'cut off', 'disk'].includes(kind)))
})

t.test('a pair of real processes survives a minute of everything', async (t) => {
  const folder = scratch(t)
  const words = ['--enable-source-maps', program, '--minutes', minutes, '--seed', seed]
  const timeoutMs = (Number(minutes) * 60 + 480) * 1000
  const env = { ...process.env, TMPDIR: folder }
  const { code, stdout, stderr } = await run(process.execPath, words, { timeoutMs, env })
  t.comment(`${stdout}${stderr}`)
  t.equal(code, 0, `soak with seed ${seed}`)
  if (code === 0) await nothingLeft(folder)
})

t.test('a soak that is interrupted leaves nothing behind', async (t) => {
  const folder = scratch(t)
  const env = { ...process.env, TMPDIR: folder }
  const child = spawn(process.execPath, [program, '--minutes', '5'], { stdio: 'ignore', env })
  const exit = new Promise((resolve) => child.once('exit', resolve))
  // longer than a folder, a soak has processes and loop devices
  await until('it has made its disks', async () => (await traces(folder)).length > 4)
  child.kill('SIGINT')
  t.equal(await exit, 130)
  await nothingLeft(folder)
})
