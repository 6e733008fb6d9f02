import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { FileArbiter } from '../../../ts/adapters/file-arbiter.ts'
import type { OwnerRecord } from '../../../ts/format/owner-record.ts'
import type { ArbiterAnswer } from '../../../ts/ports/arbiter.ts'

interface Test {
  teardown(run: () => void): unknown
}

const record: OwnerRecord = {
  version: 0,
  aggregate: 'castor',
  owner: 'castor',
  epoch: 1,
  log: 'stale',
  incarnations: { castor: 'ring-1' },
  plex0: 'in-sync',
  plex1: 'absent',
  lease: { holder: 'castor', boot: 'boot-a', durationMs: 2000, counter: 1 },
  clean: false,
  forced: [],
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'pollux-arbiter-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function arbiterOf(t: Test, folder: string, boot: string): FileArbiter {
  const arbiter = new FileArbiter(folder, boot)
  t.teardown(() => arbiter.close())
  return arbiter
}

const read = (arbiter: FileArbiter, aggregate = 'castor'): Promise<ArbiterAnswer> =>
  new Promise((resolve) => arbiter.read(aggregate, resolve))

const swap = (
  arbiter: FileArbiter,
  expected: number | undefined,
  next = record,
  aggregate = 'castor',
): Promise<ArbiterAnswer> => new Promise((resolve) => arbiter.swap(aggregate, expected, next, resolve))

t.test('what was swapped in is read again, by others and after a restart', async (t) => {
  const folder = folderOf(t)
  const [a, b] = [arbiterOf(t, folder, 'boot-a'), arbiterOf(t, folder, 'boot-b')]
  t.same(await read(a), { kind: 'record', record: undefined, holderGone: false }, 'there is none at first')
  const first = { ...record, version: 1 }
  t.same(await swap(a, undefined), { kind: 'swapped', record: first })
  t.same(await read(b), { kind: 'record', record: first, holderGone: false })
  t.same(await swap(b, 1, { ...record, owner: 'pollux' }), {
    kind: 'swapped',
    record: { ...record, owner: 'pollux', version: 2 },
  })
  const c = arbiterOf(t, folder, 'boot-c')
  t.match(await read(c), { kind: 'record', record: { owner: 'pollux', version: 2 } })
  t.match(await read(c, 'pollux'), { record: undefined }, 'each aggregate has its own')
})

t.test('a swap that expects another version changes nothing', async (t) => {
  const folder = folderOf(t)
  const a = arbiterOf(t, folder, 'boot-a')
  t.match(await swap(a, 3), { kind: 'conflict', record: undefined }, 'of none')
  await swap(a, undefined)
  t.match(await swap(a, undefined, { ...record, owner: 'pollux' }), {
    kind: 'conflict',
    record: { version: 1 },
  })
  t.match(await swap(a, 2, { ...record, owner: 'pollux' }), { kind: 'conflict', record: { owner: 'castor' } })
  t.match(await read(a), { record: { version: 1, owner: 'castor' } })
})

t.test('of many swaps at once exactly one wins each version', async (t) => {
  const folder = folderOf(t)
  const arbiters = ['a', 'b', 'c', 'd'].map((name) => arbiterOf(t, folder, name))
  let won = 0
  for (let version = 0; version < 25; version += 1) {
    const answers = await Promise.all(
      arbiters.map((arbiter, index) => {
        const next = { ...record, epoch: version + 1, owner: `node${index}` }
        return swap(arbiter, version === 0 ? undefined : version, next)
      }),
    )
    const winners = answers.filter(({ kind }) => kind === 'swapped')
    t.equal(winners.length, 1, `version ${version + 1}`)
    won += winners.length
    const now = (await read(arbiters[0]!)) as Extract<ArbiterAnswer, { kind: 'record' }>
    t.same(now.record, (winners[0] as Extract<ArbiterAnswer, { kind: 'swapped' }>).record)
  }
  t.equal(won, 25)
  const files = readdirSync(join(folder, 'aggregates', 'castor'))
  t.ok(files.length <= 9, 'old versions are removed')
  t.same(
    files.filter((name) => name.startsWith('draft')),
    [],
  )
})

t.test('the holder of a lease is known to be gone once its process has ended', async (t) => {
  const folder = folderOf(t)
  const [a, b] = [arbiterOf(t, folder, 'boot-a'), arbiterOf(t, folder, 'boot-b')]
  await swap(a, undefined)
  t.match(await read(b), { holderGone: false })
  await a.close()
  t.match(await read(b), { holderGone: true })
  await swap(b, 1, { ...record, lease: null })
  t.match(await read(b), { holderGone: false }, 'nobody holds it')
})

t.test('a record with a mistake is named, never guessed around', async (t) => {
  const folder = folderOf(t)
  const a = arbiterOf(t, folder, 'boot-a')
  await swap(a, undefined)
  const path = join(folder, 'aggregates', 'castor', 'record.2.json')
  const mistakes = {
    '{"version": 2,': 'it is not JSON',
    [JSON.stringify({ ...record, version: 2, epoch: -1 })]: 'epoch is not a whole number',
    [JSON.stringify({ ...record, version: 7 })]: 'it says version 7',
  }
  for (const [text, mistake] of Object.entries(mistakes)) {
    writeFileSync(path, text)
    t.match(await read(a), { kind: 'unreachable', reason: `arbiter: ${path}: ${mistake}; restore the file` })
    t.match(await swap(a, 1), { kind: 'unreachable' }, 'nor is it overwritten')
  }
  writeFileSync(join(folder, 'aggregates', 'castor', 'draft.boot-x.1'), '{"vers')
  rmSync(path)
  t.match(await read(a), { record: { version: 1 } }, 'a draft that was cut off means nothing')
})

t.test('a folder that has gone, or is another one, is not the same as no record', async (t) => {
  const folder = folderOf(t)
  const a = arbiterOf(t, folder, 'boot-a')
  await swap(a, undefined)
  renameSync(folder, `${folder}.away`)
  t.match(await read(a), { kind: 'unreachable', reason: /is not the folder any more/ })
  mkdirSync(folder)
  t.match(await read(a), { kind: 'unreachable', reason: /restore it/ })
  t.match(await swap(a, undefined), { kind: 'unreachable' })
  rmSync(folder, { recursive: true })
  renameSync(`${folder}.away`, folder)
  t.match(await read(a), { kind: 'record', record: { version: 1 } })
})

t.test('a place that cannot be written is named', async (t) => {
  const folder = folderOf(t)
  const a = arbiterOf(t, folder, 'boot-a')
  writeFileSync(join(folder, 'aggregates'), 'a file where a folder should be')
  t.match(await swap(a, undefined), { kind: 'unreachable', reason: /aggregates/ })
})

t.test('calls for one aggregate are carried out in their order, those for others beside them', async (t) => {
  const a = arbiterOf(t, folderOf(t), 'boot-a')
  const names = Array.from({ length: 20 }, (_, index) => `aggregate-${index}`)
  const answers = await Promise.all(
    names.map((name) =>
      Promise.all([swap(a, undefined, record, name), swap(a, 1, record, name), read(a, name)]),
    ),
  )
  for (const [first, second, found] of answers) {
    t.match(first, { kind: 'swapped', record: { version: 1 } })
    t.match(second, { kind: 'swapped', record: { version: 2 } })
    t.match(found, { kind: 'record', record: { version: 2 } })
  }
})

t.test('an answer never comes inside of the call', async (t) => {
  const a = arbiterOf(t, folderOf(t), 'boot-a')
  let inside = true
  await new Promise<void>((resolve) => {
    a.read('castor', () => {
      t.equal(inside, false)
      resolve()
    })
    inside = false
  })
})
