import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { mounts, parseMounts, usersOfMount } from '../../../ts/attach/users.ts'

t.test('mounts are read, with the letters that the kernel writes as numbers', async (t) => {
  const text = `36 35 7:0 / /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/loop0 rw
37 35 43:0 /part /srv\\134x rw - xfs /dev/nbd0 rw
38 35 43:1 / ${Buffer.from('/mnt/größe\\040€').toString('latin1')} rw - xfs /dev/nbd1 rw
39 35 43:2 / /mnt/\\303\\251 rw - xfs /dev/nbd2 rw
`
  t.same(parseMounts(text), [
    { device: '7:0', mountPoint: '/mnt/a b' },
    { device: '43:0', mountPoint: '/srv\\x' },
    { device: '43:1', mountPoint: '/mnt/größe €' },
    { device: '43:2', mountPoint: '/mnt/é' },
  ])
  t.ok((await mounts()).some(({ mountPoint }) => mountPoint === '/proc'))
})

t.test('who is in a folder is told, and who is only near it is not', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pollux-users-'))
  const near = mkdtempSync(`${folder}-`)
  const inside = spawn('sleep', ['30'], { cwd: folder })
  const outside = spawn('sleep', ['30'], { cwd: near })
  t.teardown(() => {
    inside.kill()
    outside.kill()
    for (const each of [folder, near]) rmSync(each, { recursive: true })
  })
  t.equal(await usersOfMount(folder), `sleep (process ${inside.pid})`)
})
