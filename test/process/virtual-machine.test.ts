import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Random } from '../sim/random.ts'
import { durabilities, type Pair, partnerOf } from '../support/pair.ts'
import { plexesInSync, startApart } from '../support/pair-apart.ts'
import { mustRun, run, scratch, until } from '../support/program.ts'
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
      const promises = new Promises(guest)
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

/** What the guest was promised: the checksum of each file and each stretch of blocks that it has forced. */
class Promises {
  readonly #counts = [0, 0]
  readonly #guest: VirtualMachine
  readonly #stored = new Map<string, { kib: string; sum: string }>()
  readonly #shown = new Map<string, string>()
  #failed: string[] = []
  #longestMs = 0

  constructor(guest: VirtualMachine) {
    this.#guest = guest
    guest.onLine = (line) => this.#hear(line)
  }

  get count(): number {
    return this.#counts[0]! + this.#counts[1]!
  }

  /** Longest time that a write took since this was asked last. */
  longestMs(): number {
    const longestMs = this.#longestMs
    this.#longestMs = 0
    return longestMs
  }

  /** Waits until so many more writes were promised, of files and of blocks. */
  async progress(more: number): Promise<void> {
    const wanted = this.#counts.map((count) => count + more)
    const isThere = () => this.#counts.every((count, kind) => count >= wanted[kind]!)
    await until('the guest writes on', () => this.#failed.length > 0 || isThere(), 60_000)
  }

  /** Reads everything from the disks while nobody writes, and says what is not what was promised. */
  async broken(): Promise<string[]> {
    this.#shown.clear()
    await this.#guest.command('forget')
    const all = [...this.#stored]
    await this.#guest.command(all.map(([name, { kib }]) => `shows ${name} ${kib}`).join(';'))
    const wrong = all.filter(([name, { sum }]) => this.#shown.get(name) !== sum)
    return [...this.#failed, ...wrong.map(([name]) => `${name} is not what was written last`)]
  }

  #hear(line: string): void {
    const [what, kind, slot, ...rest] = line.split(' ')
    const name = `${kind} ${slot}`
    if (what === 'stored') {
      this.#stored.set(name, { kib: rest[0]!, sum: rest[1]! })
      this.#longestMs = Math.max(this.#longestMs, Number(rest[2]))
      this.#counts[kind === 'file' ? 0 : 1]! += 1
    } else if (what === 'shows') this.#shown.set(name, rest[0]!)
    else if (what === 'failed') this.#failed.push(line)
  }
}
