import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ProcessLocks } from '../../../ts/adapters/process-locks.ts'

const folder = mkdtempSync(join(tmpdir(), 'pollux-locks-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** A process that holds its lock and says so; it ends by a signal only. */
async function processThatHolds(name: string) {
  const module = new URL('../../../ts/adapters/process-locks.js', import.meta.url)
  const text = `import { ProcessLocks } from ${JSON.stringify(module.href)}
    new ProcessLocks(${JSON.stringify(folder)}, ${JSON.stringify(name)})
    console.log('holds'); setInterval(() => undefined, 1000)`
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: [...stdio] })
  await new Promise((resolve) => child.stdout!.once('data', resolve))
  return child
}

t.test('a process is gone when it was killed, not when it is only stopped', async (t) => {
  const locks = new ProcessLocks(folder, 'watcher')
  t.teardown(() => locks.close())
  const child = await processThatHolds('other-1')
  t.equal(locks.isGone('other-1'), false, 'it lives')
  child.kill('SIGSTOP')
  t.equal(locks.isGone('other-1'), false, 'it is stopped')
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  t.equal(locks.isGone('other-1'), true, 'it was killed')
  t.equal(locks.isGone('other-1'), true, 'and looking changed nothing')
})

t.test(
  'nothing is claimed of oneself, of names without a file, and of names that are no names',
  async (t) => {
    const locks = new ProcessLocks(folder, 'oneself')
    t.teardown(() => locks.close())
    t.equal(locks.isGone('oneself'), false)
    t.equal(locks.isGone('never-seen'), false)
    t.equal(locks.isGone('../alive/oneself'), false)
  },
)

t.test('what is closed counts as gone', async (t) => {
  const [one, two] = [new ProcessLocks(folder, 'one'), new ProcessLocks(folder, 'two')]
  t.equal(two.isGone('one'), false)
  one.close()
  t.equal(two.isGone('one'), true)
  two.close()
})

t.test('a process does not run twice under one name', async (t) => {
  const locks = new ProcessLocks(folder, 'twice')
  t.teardown(() => locks.close())
  t.throws(() => new ProcessLocks(folder, 'twice'), /same name/)
})

t.test('files of processes that ended long ago are removed, those of living ones stay', async (t) => {
  const long = new Date('2020-01-01')
  writeFileSync(join(folder, 'ended'), '')
  utimesSync(join(folder, 'ended'), long, long)
  const living = new ProcessLocks(folder, 'living')
  utimesSync(living.ownPath, long, long)
  new ProcessLocks(folder, 'sweeper').close()
  t.equal(existsSync(join(folder, 'ended')), false)
  t.equal(existsSync(living.ownPath), true)
  living.close()
})
