import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Random } from '../sim/random.ts'
import { GuestPromises } from '../support/guest-promises.ts'
import { durabilities, type Pair, partnerOf } from '../support/pair.ts'
import { plexesInSync, startApart } from '../support/pair-apart.ts'
import { mustRun, run, scratch } from '../support/program.ts'
import { accelerator, noGuest, VirtualMachine } from '../support/virtual-machine.ts'

const isLong = process.env['POLLUX_LONG'] !== undefined
const takeovers = isLong ? 10 : 3
/** The processor is emulated where it cannot be lent, which is slow. */
const tried = isLong ? durabilities : durabilities.slice(-1)
/** Where its attempt fails, QEMU tries again after 1, 2 and 4 s: the third one is good enough. */
const stallMaxMs = 5000
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const readme = fileURLToPath(new URL('../../../README.md', import.meta.url))
/** What the kernel of the guest says when a disk or a file system fails. */
const trouble =
  /I\/O error|EXT4-fs (error|warning)|JBD2: .*error|remount|blk_update_request|hung_task|blocked for more/

for (const durability of tried) {
  t.test(
    `a guest sees ${takeovers} takeovers as pauses (${durability}, ${accelerator()})`,
    { skip: noGuest },
    async (t) => {
      t.comment(`seed ${seed}`)
      const random = new Random(seed)
      // what the README tells to try runs on a pair as the README makes it
      const pair = await startApart(t, { durability, size: '64MiB', logSize: '16MiB' })
      const guest = await VirtualMachine.start(t, [...disk(pair, 'vol0'), ...disk(pair, 'vol1')])
      const promises = new GuestPromises(guest, ['file', 'block'])
      await guest.command('mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt')
      await guest.command('start')
      for (let round = 0; round < takeovers; round += 1) {
        await promises.progress(10)
        await sleep(random.between(0, 300))
        const usual = promises.longestMs()
        const victim = await pair.serving('castor')
        await pair.kill(victim)
        await promises.progress(5)
        t.equal(await pair.serving('castor'), partnerOf(victim), `${victim} was killed, the other one serves`)
        const stallMs = promises.longestMs()
        t.comment(`longest stall in the guest: ${stallMs} ms, ${usual} ms without a kill`)
        t.ok(stallMs < stallMaxMs, `takeover ${round + 1} was over within ${stallMaxMs} ms`)
        await guest.command('pause')
        t.same(await promises.broken(), [], `${promises.count} writes, all there`)
        await guest.command('start')
        await pair.up()
        await plexesInSync(pair)
        if (round % 2 === 1) await sendHome(pair)
      }
      await promises.progress(10)
      await guest.command('pause')
      await pair.mustCommand('takeover', await pair.serving('castor'))
      t.same(await promises.broken(), [], 'the partner has the same')
      await guest.command('umount /mnt')
      await guest.powerOff()
      t.notMatch(guest.kernelLog(), trouble, 'the kernel of the guest has seen no error')
      t.match(guest.kernelLog(), /EXT4-fs \(vda\): mounted/, 'and its messages are here')
      t.same(guest.ioErrors(), [], 'QEMU had no error to report')
      await judgeFromOutside(t, pair)
    },
  )
}

/** The arguments that the README recommends, for a volume of this pair. */
function disk(pair: Pair, volume: string): string[] {
  const text = readFileSync(readme, 'utf8')
  const { hostname, port } = new URL(pair.uri(volume))
  return ['blockdev', 'device'].flatMap((name) => {
    const [, value] = new RegExp(`^ +-${name} (\\S+)`, 'm').exec(text)!
    const changes = [
      ['127.0.0.1', hostname],
      ['PORT', port],
      ['disk0', `disk-${volume}`],
      ['vol0', volume],
    ] as const
    return [`-${name}`, changes.reduce((word, [from, to]) => word.replaceAll(from, to), value!)]
  })
}

async function sendHome(pair: Pair): Promise<void> {
  for (const home of ['castor', 'pollux'] as const) {
    if ((await pair.serving(home)) !== home) await pair.mustCommand('giveback', home)
  }
  await plexesInSync(pair)
}

async function judgeFromOutside(t: Test, pair: Pair): Promise<void> {
  const image = path.join(scratch(t), 'image')
  await mustRun('nbdcopy', [pair.uri('vol0'), image])
  const { code, stdout, stderr } = await run('e2fsck', ['-fn', image])
  t.equal(code, 0, `e2fsck is content: ${stdout}${stderr}`)
  await pair.down()
  t.equal((await pair.check('castor')).code, 0, 'and so is pollux check')
}
