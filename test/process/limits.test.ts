import { truncateSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { connect, NbdReplyError } from '../support/nbd-client.ts'
import { errno } from '../support/nbd-wire.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, Pair } from '../support/pair.ts'
import { missing, mustPollux, mustRun, notRoot, run, scratch, until } from '../support/program.ts'
import { stamped } from '../support/stamps.ts'

const MIB = 1024 * 1024

for (const durability of durabilities) {
  t.test(`while points are held, clients wait on a full log without an error (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability, logSize: '4MiB' })
    await pair.mustCommand('cp', 'now')
    await pair.mustCommand('cp', 'hold')
    const before = pair.diskDigest('castor')
    const oracle = new Oracle({ uri: pair.uri('vol0') })
    oracle.start()
    const stuck = await until('the log is full', async () => {
      const answered = oracle.answered
      await sleep(700)
      return oracle.answered === answered && answered
    })
    const { log } = await pair.engine('castor', 'castor')
    t.ok(
      log.pagesUsed > log.pageCount * 0.8,
      `${stuck} requests fill ${log.pagesUsed} of ${log.pageCount} pages`,
    )
    t.equal(pair.diskDigest('castor'), before, 'the disks are as they were')
    await sleep(2000)
    t.equal(oracle.answered, stuck, 'clients wait')
    t.equal(oracle.failure, undefined, 'and get no error')
    t.equal(oracle.reconnects, 0, 'nor lose their connection')
    await pair.mustCommand('cp', 'resume')
    await oracle.progress(2000)
    await oracle.stop()
    t.same(await oracle.verify(), [])
  })

  t.test(`a full aggregate refuses with ENOSPC before it answers, never after (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability, size: '32MiB', diskSize: '128MiB' })
    await pair.mustCommand('volume', 'create', 'big', '--size', '1GiB', '--aggregate', 'castor')
    const client = await connect(`${pair.service('castor')}/big`)
    const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 64 })
    await oracle.run(200)
    const answered: number[] = []
    const refused: number[] = []
    const piece = 16
    for (let first = 0; first < 64 * 1024 && refused.length < 100; first += piece) {
      await client.write(first * 4096, stamped(5, first * 8, piece * 8, 1)).then(
        () => answered.push(first),
        (error) => {
          if (!(error instanceof NbdReplyError) || error.errno !== errno.ENOSPC) throw error
          refused.push(first)
        },
      )
    }
    t.ok(refused.length > 0, `${answered.length} writes fit, then ENOSPC`)
    await pair.mustCommand('cp', 'now')
    t.equal(await intact(client, answered, piece), answered.length, 'what was answered is there')
    t.same(await oracle.verify(), [], 'the other volume is as it was')
    const half = answered.slice(0, answered.length / 2)
    for (const first of half) await client.trim(first * 4096, piece * 4096)
    for (let round = 0; round < 3; round += 1) {
      await pair.mustCommand('cp', 'now')
      await oracle.run(20).catch(() => undefined)
    }
    await pair.mustCommand('cp', 'now')
    await client.write(half[0]! * 4096, stamped(5, half[0]! * 8, piece * 8, 2))
    t.pass('a trim makes room, even in a full aggregate')
    await client.close()
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    const survivor = await connect(`${pair.service('castor')}/big`)
    const rest = answered.slice(half.length)
    t.equal(await intact(survivor, rest, piece), rest.length, 'and after a takeover')
    await survivor.close()
    await pair.mustCommand('volume', 'delete', 'big')
    await pair.down()
    t.equal((await pair.check('castor')).code, 0, 'the disks check')
  })

  t.test(
    `a full file system under the disks makes clients wait, and loses nothing (${durability})`,
    { skip: notRoot || missing('mkfs.ext4') },
    async (t) => {
      const { pair, hog, free } = await pairOnSmallFileSystem(t, durability)
      const oracle = new Oracle({ uri: pair.uri('vol0'), plain: true, blockCount: 8192 })
      await oracle.run(100)
      await pair.mustCommand('cp', 'now')
      await mustRun('bash', ['-c', `head -c 1G /dev/zero > ${hog} 2>/dev/null || true; sync`])
      oracle.start()
      await until('a consistency point fails for lack of room', async () => {
        const { consistencyPoint } = await pair.engine('castor', 'castor')
        return consistencyPoint.failure !== '' && consistencyPoint.failure
      })
      const bystander = new Oracle({ uri: pair.uri('vol1'), tag: 2, blockCount: 64 })
      await bystander.run(30).catch((error) => t.comment(String(error)))
      await free()
      await oracle.progress(500)
      await oracle.stop()
      t.same(await oracle.verify(), [], 'with room again, everything goes on')
      await pair.mustCommand('cp', 'now')
      await pair.down()
      t.equal((await pair.check('castor')).code, 0)
    },
  )

  t.test(
    `the same pair on loop devices (${durability})`,
    { skip: notRoot || missing('losetup') },
    async (t) => {
      const folder = scratch(t)
      const devices: Record<string, string> = {}
      const pair = await Pair.start(t, { durability, size: '32MiB' })
      await pair.down()
      for (const aggregate of ['castor', 'pollux'] as const) {
        const backing = path.join(folder, aggregate)
        await mustRun('truncate', ['-s', '256M', backing])
        const { stdout } = await mustRun('losetup', ['-f', '--show', '--direct-io=on', backing])
        devices[aggregate] = stdout.trim()
        t.teardown(() => run('losetup', ['-d', stdout.trim()]))
      }
      pair.edit((file) => {
        for (const aggregate of file.aggregate) aggregate.disks = [devices[aggregate.name]!]
      })
      await startOver(pair)
      for (const aggregate of ['castor', 'pollux'] as const) {
        const config = pair.config(aggregate).path
        await mustPollux(['disk', 'label', devices[aggregate]!, '--config', config, '--aggregate', aggregate])
      }
      await Promise.all([pair.serve('castor'), pair.serve('pollux')])
      await pair.inSync()
      await pair.control('castor').json('POST', '/volumes', { name: 'vol0', size: 32 * MIB })
      const oracle = new Oracle({ uri: `${pair.service('castor')}/vol0` })
      oracle.start()
      await oracle.progress(1000)
      await pair.kill('castor')
      await oracle.progress(500)
      await oracle.stop()
      t.same(await oracle.verify(), [])
      await pair.control('pollux').json('POST', '/cp', { action: 'now' })
      await pair.kill('pollux', 'SIGTERM')
      await until('pollux ends', () => pair.processOf('pollux') === undefined, 25_000)
      t.equal((await mustPollux(['check', devices['castor']!])).code, 0)
    },
  )
}

/** How many of the pieces still have what was written to them. */
async function intact(client: Awaited<ReturnType<typeof connect>>, firsts: readonly number[], piece: number) {
  let count = 0
  for (const first of firsts) {
    const bytes = await client.read(first * 4096, piece * 4096)
    if (bytes.equals(stamped(5, first * 8, piece * 8, 1))) count += 1
  }
  return count
}

/** New disks: what the arbiter and the logs know of the old ones is void. */
async function startOver(pair: Pair): Promise<void> {
  const { arbiter } = pair.config('castor').file
  const folders = ['castor', 'pollux'] as const
  const nvram = folders.map((node) => pair.config(node).file.nvram.directory)
  await mustRun('bash', ['-c', `rm -rf ${arbiter.directory}/aggregates ${nvram.join(' ')}`])
}

/** Castor's disk is a sparse file on a file system that can be filled up. */
async function pairOnSmallFileSystem(t: Test, durability: string) {
  const folder = scratch(t)
  const pair = await Pair.start(t, { durability, size: '32MiB', logSize: '4MiB' })
  await pair.down()
  const disk = pair.disks('castor')[0]!
  const [image, mount] = [path.join(folder, 'image'), path.join(folder, 'mount')]
  await mustRun('bash', ['-c', `truncate -s 300M ${image} && mkfs.ext4 -q -m 0 ${image} && mkdir ${mount}`])
  await mustRun('mount', ['-o', 'loop', image, mount])
  t.teardown(() => run('umount', ['-l', mount]))
  const sparse = path.join(mount, 'castor.disk')
  await mustRun('bash', ['-c', `cp --sparse=always ${disk} ${sparse} && fallocate -d ${sparse}`])
  pair.edit((file) => {
    for (const aggregate of file.aggregate) if (aggregate.name === 'castor') aggregate.disks = [sparse]
  })
  await pair.up()
  await pair.inSync()
  const hog = path.join(mount, 'hog')
  return { pair, hog, free: async () => truncateSync(hog, 0) }
}
