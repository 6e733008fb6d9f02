import { linkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { connect } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, Pair } from '../support/pair.ts'
import { missing, mustPollux, mustRun, notRoot, run, scratch, start, until } from '../support/program.ts'

type Action = 'now' | 'hold' | 'resume'
const cp = (pair: Pair, action: Action) =>
  pair.control('castor').json<{ changes: Point[] }>('POST', '/cp', { action, aggregate: 'castor' })

interface Point {
  readonly generation: number
  readonly containedSequence: number
}

interface CheckReport {
  readonly good: boolean
  readonly generation: number
  readonly epoch: number
  readonly lastSequence: number
}

/** What `pollux check` says of the one aggregate on these disks; of a bad one it throws with all it says. */
async function check(disks: readonly string[]): Promise<CheckReport> {
  const { stdout } = await mustPollux(['check', ...disks, '--json'])
  const { aggregates } = JSON.parse(stdout) as { aggregates: CheckReport[] }
  return aggregates[0]!
}

for (const durability of durabilities) {
  t.test(
    `F6: slow disks do not slow the replies down (${durability})`,
    { skip: notRoot || missing('nbdfuse', 'nbdkit') },
    async (t) => {
      const pair = await Pair.start(t, { durability, logSize: '32MiB' })
      await pair.down()
      await slowDown(t, pair.disks('castor')[0]!)
      await pair.up()
      await pair.inSync(['castor'])
      const client = await connect(pair.uri('vol0'))
      const latencies: number[] = []
      const gaps: number[] = []
      // 12 MiB stay below the fill mark; the point that is asked for takes the disk for seconds
      for (let round = 0; round < 3000; round += 1) {
        if (round === 500) void cp(pair, 'now').catch(() => undefined)
        const startedMs = performance.now()
        await client.write((round % 4096) * 4096, Buffer.alloc(4096, round))
        latencies.push(performance.now() - startedMs)
      }
      const p99 = latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!
      t.ok(
        p99 < 20,
        `99 of 100 writes had a reply within ${p99.toFixed(1)} ms, on a disk of 100 ms per write`,
      )
      const data = Buffer.alloc(64 * 1024, 5)
      for (let round = 0; round < 768; round += 1) {
        const startedMs = performance.now()
        await client.write((round % 1000) * data.length, data)
        gaps.push(performance.now() - startedMs)
      }
      const longest = Math.max(...gaps)
      t.ok(
        longest < 6000,
        `more than the log holds: no error, and no wait longer than ${Math.round(longest)} ms`,
      )
      await client.close()
    },
  )

  t.test(`F7: writes are answered while the disks stay as they are (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    await cp(pair, 'now')
    await cp(pair, 'hold')
    const before = pair.diskDigest('castor')
    const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 512 })
    for (let round = 0; round < 3; round += 1) {
      await oracle.run(200)
      t.equal(pair.diskDigest('castor'), before, `${oracle.answered} answers, not one byte on disk`)
    }
    await cp(pair, 'resume')
    await cp(pair, 'now')
    t.not(pair.diskDigest('castor'), before, 'then one consistency point writes it')
    t.same(await oracle.verify(), [])
  })

  t.test(`F8: the disks hold a whole image at any moment (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability, logSize: '4MiB' })
    const copies = scratch(t)
    const oracle = new Oracle({ uri: pair.uri('vol0') })
    oracle.start()
    const pid = await pair.pid('castor')
    const generations = new Set<number>()
    for (let moment = 0; moment < 8; moment += 1) {
      await oracle.progress(50 + Math.floor(Math.random() * 500))
      const before = (await pair.engine('castor', 'castor')).consistencyPoint
      process.kill(pid, 'SIGSTOP')
      const disks = await pair.copyDisks('castor', copies).finally(() => process.kill(pid, 'SIGCONT'))
      const found = await check(disks)
      const after = (await pair.engine('castor', 'castor')).consistencyPoint
      const isBetween = found.generation >= before.generation && found.generation <= after.generation
      t.ok(
        isBetween,
        `a copy opens to generation ${found.generation}, of ${before.generation} to ${after.generation}`,
      )
      if (found.generation === before.generation) {
        t.equal(found.lastSequence, before.containedSequence, 'exactly that point')
      }
      generations.add(found.generation)
    }
    t.ok(generations.size > 2, `${generations.size} different generations were seen`)
    await oracle.stop()
    t.same(await oracle.verify(), [])
  })

  t.test(
    `F8: a forced opening of the disks alone shows the last point, no more, no less (${durability})`,
    async (t) => {
      const pair = await Pair.start(t, { durability })
      const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 1024 })
      await oracle.run(500)
      await cp(pair, 'now')
      await cp(pair, 'hold')
      const copies = scratch(t)
      const [copy] = await pair.copyDisks('castor', copies)
      const later = await connect(pair.uri('vol0'))
      await later.write(2048 * 4096, Buffer.alloc(65536, 1), { fua: true })
      await later.destroy()
      await Promise.all([pair.kill('castor'), pair.kill('pollux')])
      for (const node of ['castor', 'pollux'] as const) await mustRun('rm', [pair.ringPath(node, 'castor')])
      await mustRun('cp', [copy!, pair.disks('castor')[0]!])
      await pair.serve('castor')
      const reason = await until('it says why it waits', async () => {
        const { serves, because } = await pair.engine('castor', 'castor')
        if (serves) throw new Error('it serves without a log')
        return /log|NVRAM/.test(because) && because
      })
      t.comment(reason)
      const words = ['--by', 'castor', '--force', '--accept-data-loss', '--reason', 'both rings are lost']
      await until('the lease is over', async () => {
        const { code, stdout } = await pair.command('takeover', 'castor', ...words)
        return code === 0 && stdout
      })
      await pair.serving('castor', 'castor')
      t.same(await oracle.verify(), [], 'everything of the last point')
      const client = await connect(pair.uri('vol0'))
      t.ok(
        (await client.read(2048 * 4096, 65536)).every((byte) => byte === 0),
        'and nothing that came after it',
      )
      await client.close()
    },
  )

  t.test(
    `F19: a point names the changes that it contains, the same everywhere (${durability})`,
    async (t) => {
      const pair = await Pair.start(t, { durability })
      const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 1024 })
      await oracle.run(300)
      const answered = (await pair.engine('castor', 'castor')).log.lastSequence
      const [point] = (await cp(pair, 'now')).changes
      t.ok(point!.containedSequence >= answered, 'all that was answered before is in it')
      await cp(pair, 'hold')
      await until('the partner knows', async () => {
        const { consistencyPoint } = await pair.engine('pollux', 'castor')
        return consistencyPoint.generation === point!.generation
      })
      const partners = (await pair.engine('pollux', 'castor')).consistencyPoint
      t.equal(partners.containedSequence, point!.containedSequence, 'the partner has the same set')
      await oracle.run(300)
      const last = (await pair.engine('castor', 'castor')).log.lastSequence
      await pair.kill('castor')
      await pair.serving('castor', 'pollux')
      const { recovery } = await pair.engine('pollux', 'castor')
      t.equal(recovery!.generation, point!.generation, 'the superblock has it')
      t.equal(recovery!.contained, point!.containedSequence, 'and so replay begins behind it')
      t.ok(recovery!.last >= last, 'and ends with the last answer')
      t.same(await oracle.verify(), [])
      await pair.down()
      const closed = await check(pair.disks('castor'))
      t.ok(
        closed.lastSequence >= last && closed.generation > point!.generation,
        'a clean stop leaves all on disk',
      )
    },
  )
}

/** Puts a FUSE file that takes its time in the place of a disk: 100 ms per write, 8 MB a second. */
async function slowDown(t: Test, disk: string): Promise<void> {
  const backing = `${disk}.backing`
  linkSync(disk, backing)
  const nbdkit = [
    'nbdkit',
    '-s',
    '--filter=delay',
    '--filter=rate',
    'file',
    backing,
    'wdelay=100ms',
    'rate=64M',
  ]
  const { said } = start('nbdfuse', [disk, '--command', ...nbdkit])
  t.teardown(() => run('umount', ['-l', disk]))
  await until(`the slow disk is mounted ${said()}`, async () => {
    const { stdout } = await run('stat', ['-f', '-c', '%T', disk])
    return stdout.startsWith('fuse')
  })
  await sleep(50)
}
