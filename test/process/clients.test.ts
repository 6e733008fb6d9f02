import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { durabilities, type NodeName, Pair } from '../support/pair.ts'
import { missing, mustRun, run, scratch } from '../support/program.ts'

const isLong = process.env['POLLUX_LONG'] !== undefined
const copyMib = Number(process.env['POLLUX_COPY_MIB'] ?? (isLong ? 1024 : 256))
const seconds = isLong ? 60 : 8

for (const durability of durabilities) {
  t.test(
    `nbdinfo lists the volumes where they are served (${durability})`,
    { skip: missing('nbdinfo') },
    async (t) => {
      const pair = await Pair.start(t, { durability })
      await pair.mustCommand('volume', 'create', 'third', '--size', '1TiB', '--aggregate', 'castor')
      const listed = async (node: NodeName) => {
        const { stdout } = await mustRun('nbdinfo', ['--list', '--json', pair.service(node)])
        const { exports } = JSON.parse(stdout) as {
          exports: { 'export-name': string; 'export-size': number }[]
        }
        return exports.map((one) => [one['export-name'], one['export-size']])
      }
      t.same((await listed('castor')).sort(), [
        ['third', 2 ** 40],
        ['vol0', 2 ** 26],
      ])
      t.same(await listed('pollux'), [['vol1', 2 ** 26]])
      await pair.kill('castor')
      await pair.serving('castor', 'pollux')
      t.same((await listed('castor')).length, 2, 'the same address lists the same after a takeover')
    },
  )

  t.test(
    `nbdcopy in and out is bit-identical, ${copyMib} MiB (${durability})`,
    { skip: missing('nbdcopy') },
    async (t) => {
      const size = `${copyMib}MiB`
      const pair = await Pair.start(t, { durability, size, logSize: '64MiB' })
      const [there, back] = ['there', 'back'].map((name) => path.join(scratch(t), name))
      await mustRun('bash', ['-c', `head -c ${copyMib}M /dev/urandom > ${there}`])
      const options = { timeoutMs: 120_000 }
      await mustRun('nbdcopy', ['--flush', there!, pair.uri('vol0')], options)
      await mustRun('nbdcopy', [pair.uri('vol0'), back!], options)
      await mustRun('cmp', [there!, back!])
      await pair.mustCommand('takeover', 'castor')
      await mustRun('nbdcopy', [pair.uri('vol0'), back!], options)
      t.equal((await run('cmp', [there!, back!])).code, 0, 'also from the partner, after a handover')
    },
  )

  t.test(
    `qemu-img converts and compares (${durability})`,
    { skip: missing('qemu-img', 'qemu-io') },
    async (t) => {
      const pair = await Pair.start(t, { durability })
      const image = path.join(scratch(t), 'image.qcow2')
      await mustRun('qemu-img', ['create', '-q', '-f', 'qcow2', image, '64M'])
      const steps = [
        'write -P 1 0 1M',
        'write -P 2 5M 300k',
        'write -P 3 63M 1M',
        'write -z 20M 2M',
        'write -P 4 33333k 7k',
      ]
      await mustRun('qemu-io', ['-f', 'qcow2', ...steps.flatMap((step) => ['-c', step]), image])
      await mustRun('qemu-img', ['convert', '-n', '-O', 'raw', image, pair.uri('vol0')])
      const compare = () => run('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', image, pair.uri('vol0')])
      t.match((await compare()).stdout, /identical/)
      await pair.mustCommand('cp', 'now')
      await pair.kill('castor')
      await pair.serving('castor', 'pollux')
      t.match((await compare()).stdout, /identical/, 'also from the partner')
      const damage = await run('qemu-io', ['-f', 'raw', '-c', 'write -P 9 5M 4k', pair.uri('vol0')])
      t.equal(damage.code, 0)
      t.equal((await compare()).code, 1, 'a difference would have been seen')
    },
  )

  t.test(
    `fio verifies mixed block sizes on both volumes for ${seconds} s (${durability})`,
    { skip: missing('fio') },
    async (t) => {
      const pair = await Pair.start(t, { durability, size: '256MiB', logSize: '32MiB' })
      const before = await pair.engine('castor', 'castor')
      const jobs = ['vol0', 'vol1'].map((volume) => fio(volume, pair.uri(volume)))
      const runs = jobs.map((job) => run('fio', job, { timeoutMs: (seconds * 4 + 60) * 1000 }))
      let running = true
      void Promise.all(runs).then(() => {
        running = false
      })
      while (running) {
        await sleep(1500)
        if (running) await pair.command('cp', 'now')
      }
      for (const { code, stdout, stderr } of await Promise.all(runs)) {
        t.equal(code, 0, `${stdout.slice(-2000)}${stderr}`)
        t.notMatch(stdout + stderr, /verify: bad|err=[^ ]*[1-9]/)
      }
      const after = await pair.engine('castor', 'castor')
      const points = after.consistencyPoint.generation - before.consistencyPoint.generation
      t.ok(points >= 3, `${points} consistency points in between`)
    },
  )
}

function fio(name: string, uri: string): string[] {
  const sizes = '--bssplit=512/10:4k/40:16k/20:64k/15:256k/10:1m/5'
  const verify = [
    '--verify=crc32c',
    '--verify_fatal=1',
    '--do_verify=1',
    '--verify_backlog=512',
    '--verify_state_save=0',
  ]
  const time = ['--time_based', `--runtime=${seconds}`]
  const where = ['--ioengine=nbd', `--uri=${uri}`, '--size=256M', '--iodepth=32', '--rw=randwrite']
  return [`--name=${name}`, ...where, sizes, '--bs_unaligned=0', '--blockalign=512', ...verify, ...time]
}
