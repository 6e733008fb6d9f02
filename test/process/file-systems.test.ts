import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Random } from '../sim/random.ts'
import { ForcedFiles } from '../support/forced-files.ts'
import { KernelDisk } from '../support/kernel-disk.ts'
import { durabilities, nodeNames, Pair } from '../support/pair.ts'
import { missing, mustRun, notRoot, run, scratch, until } from '../support/program.ts'

const cuts = process.env['POLLUX_LONG'] ? 20 : 2
const seed = Number(process.env['POLLUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const skip = notRoot || missing('nbdfuse', 'losetup')

const kinds: Readonly<Record<string, { make: readonly string[]; check: readonly string[] }>> = {
  ext4: { make: ['mkfs.ext4', '-q'], check: ['e2fsck', '-fn'] },
  xfs: { make: ['mkfs.xfs', '-q'], check: ['xfs_repair', '-n'] },
}

for (const durability of durabilities) {
  for (const [type, { make, check }] of Object.entries(kinds)) {
    t.test(
      `${type} has all that was forced, after each of ${cuts} power cuts (${durability})`,
      { skip: skip || missing(make[0]!, check[0]!) },
      async (t) => {
        t.comment(`seed ${seed}`)
        const random = new Random(seed)
        const pair = await Pair.start(t, { durability, size: '512MiB', logSize: '32MiB' })
        // a consistency point has the volumes, whatever is lost
        for (const node of nodeNames)
          await pair.control(node).json('POST', '/cp', { action: 'now', aggregate: node })
        const folder = scratch(t)
        let disk = await attach(t, folder, pair)
        const files = new ForcedFiles(disk.mountPoint, random)
        await mustRun(make[0]!, [...make.slice(1), disk.device])
        await disk.mount(type)
        await flushesArrive(t, pair, disk)
        for (let cut = 0; cut < cuts; cut += 1) {
          files.start()
          const wanted = files.forced + 100
          await until('files are forced', () => files.someEnded || files.forced >= wanted, 60_000)
          await sleep(random.between(0, 1000))
          files.powerGoes()
          await Promise.all(nodeNames.map((node) => pair.kill(node)))
          for (const failure of await files.failures()) t.match(failure, /^Error: E[A-Z]+:/, failure)
          await disk.detach()
          await powerOn(pair, durability)
          for (let attempt = 1; ; attempt += 1) {
            const before = epoch(pair)
            disk = await attach(t, folder, pair)
            const wrong = await look(disk, type, check, files).catch((error: Error) => [error.message])
            if (wrong.length > 0 && epoch(pair) !== before && attempt < 5) {
              t.comment(
                'the machine is so busy that a lease has ended: the device is dead, and is made again',
              )
              await disk.detach()
              await pair.inSync()
              continue
            }
            t.same(wrong, [], `${files.forced} times forced, all of it is there, and ${check[0]} is content`)
            break
          }
          await disk.mount(type)
        }
        await disk.detach()
        await pair.down()
        t.equal((await pair.check('castor')).code, 0, 'pollux check is content, too')
      },
    )
  }
}

async function attach(t: Test, folder: string, pair: Pair): Promise<KernelDisk> {
  const disk = await KernelDisk.attach(folder, pair.uri('vol0'))
  t.teardown(() => disk.detach())
  return disk
}

/** Mounts what the power cut has left, compares it with what was promised, and has it checked. */
async function look(
  disk: KernelDisk,
  type: string,
  check: readonly string[],
  files: ForcedFiles,
): Promise<string[]> {
  await disk.mount(type)
  const wrong = await files.broken()
  await disk.unmount()
  const { code, stdout, stderr } = await run(check[0]!, [...check.slice(1), disk.device])
  return code === 0 ? wrong : [...wrong, `${check.join(' ')}: ${stdout}${stderr}`]
}

const epoch = (pair: Pair): number => (JSON.parse(pair.record('castor')) as { epoch: number }).epoch

/** What a file system forces goes down through loop and FUSE, and arrives as FLUSH. */
async function flushesArrive(t: Test, pair: Pair, { mountPoint }: KernelDisk): Promise<void> {
  const flushes = async () => (await pair.engine('castor', 'castor')).counters.flushes
  await mustRun('sync', ['--file-system', mountPoint])
  const before = await flushes()
  await mustRun('dd', ['if=/dev/zero', `of=${mountPoint}/one`, 'bs=4k', 'count=1', 'conv=fsync'])
  const after = await flushes()
  t.ok(after > before, `fsync of a file was ${after - before} FLUSH requests`)
}

/** With `vault` the memory was lost, too: it is in /dev/shm, and a host that lost power has none of it. */
async function powerOn(pair: Pair, durability: string): Promise<void> {
  if (durability === 'vault') {
    for (const node of nodeNames) rmSync(pair.config(node).file.nvram.directory, { recursive: true })
    for (const node of nodeNames) await pair.serve(node)
  } else await pair.up()
  await pair.inSync()
}
