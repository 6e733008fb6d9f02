import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import t, { type Test } from 'tap'
import { BLOCK_SIZE, MIB } from '../../ts/base/units.ts'
import type { PairStatus } from '../../ts/cli/pair-status.ts'
import type { NodeStatus } from '../../ts/control/node-control.ts'
import { DiskLabel } from '../../ts/format/disk-label.ts'
import { connect, errnoOf, type NbdClient } from '../support/nbd-client.ts'
import { errno } from '../support/nbd-wire.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, Pair, type PairOptions } from '../support/pair.ts'
import { aggregateOf } from '../support/pair-config.ts'
import { addMirrors, LoopDisk, labelPlex, plexIs, plexStatus } from '../support/pair-mirror.ts'
import { missing, mustRun, notRoot, until } from '../support/program.ts'
import { readStamp, SECTOR, stamped } from '../support/stamps.ts'

const SECTORS = BLOCK_SIZE / SECTOR
const PIECE = 256
const noLoops = notRoot || missing('losetup')

interface Report {
  readonly good: boolean
  readonly equal: boolean | null
  readonly plexes: readonly { readonly good: boolean }[]
}

/** Stops both nodes in good order; then the plexes have to be whole, each by itself, and equal. */
async function mustBeEqual(t: Test, pair: Pair): Promise<void> {
  await pair.down()
  const { stdout, stderr } = await pair.check('castor', '--json')
  const [report] = (JSON.parse(stdout) as { aggregates: Report[] }).aggregates
  t.match(report, { good: true, equal: true, plexes: [{ good: true }, { good: true }] }, stderr)
}

/** Starts an oracle that ends with the test, also if that fails. */
function running(t: Test, oracle: Oracle): void {
  t.teardown(() => oracle.stop().catch(() => undefined))
  oracle.start()
}

/** A pair whose plexes of castor are devices that can be pulled out. */
async function pairOnLoops(t: Test, options: PairOptions): Promise<{ pair: Pair; plexes: LoopDisk[] }> {
  const plexes: LoopDisk[] = []
  const mirror = async (pair: Pair): Promise<void> => {
    await addMirrors(pair)
    for (const plex of [0, 1]) plexes.push(await LoopDisk.over(t, pair.plex('castor', plex)[0]!))
    pair.edit((file) => {
      const aggregate = aggregateOf(file, 'castor')
      aggregate.disks = [plexes[0]!.device]
      aggregate.mirror = [plexes[1]!.device]
    })
  }
  return { pair: await Pair.start(t, { ...options, mirror }), plexes }
}

const content = (block: number, count = 1, version = 1): Buffer =>
  stamped(9, block * SECTORS, count * SECTORS, version)

/** Writes blocks of which each says which one it is. */
async function fill(client: NbdClient, first: number, count: number, version = 1): Promise<void> {
  for (let block = first; block < first + count; block += PIECE)
    await client.write(block * BLOCK_SIZE, content(block, PIECE, version))
}

async function isAllThere(client: NbdClient, count: number): Promise<boolean> {
  for (let block = 0; block < count; block += PIECE) {
    const bytes = await client.read(block * BLOCK_SIZE, PIECE * BLOCK_SIZE)
    if (!bytes.equals(content(block, PIECE))) return false
  }
  return true
}

for (const durability of durabilities) {
  const title = `F14 every change goes to both plexes, and either can be pulled out under load (${durability})`
  t.test(title, { skip: noLoops }, async (t) => {
    const { pair, plexes } = await pairOnLoops(t, { durability })
    const oracle = new Oracle({ uri: pair.uri('vol0') })
    await oracle.run(1000)
    const { stdout } = await pair.command('status')
    t.match(stdout, /PLEXES\ncastor .* in-sync *\npollux .* in-sync *\n/)
    const status = JSON.parse(await pair.mustCommand('status', '--json')) as PairStatus
    const plex = { state: 'in-sync', recorded: 'in-sync', because: '' }
    t.match(status.aggregates[0]!.engines['castor']!.plexes, [plex, plex])
    await mustBeEqual(t, pair)
    await pair.up()
    running(t, oracle)
    for (const plex of [1, 0]) {
      await oracle.progress(300)
      await plexes[plex]!.pull()
      await plexIs(pair, plex, 'missing')
      const { stdout } = await pair.command('status')
      t.match(stdout, new RegExp(`^aggregate castor: plex ${plex} is missing: .+$`, 'm'), 'status says it')
      await until('its disk was tried again', async () => {
        const { events } = await pair.status('castor')
        return events.some(({ event, facts }) => event === 'plex still missing' && facts?.['plex'] === plex)
      })
      await oracle.progress(300)
      await plexes[plex]!.putInBlank()
      await labelPlex(pair, 'castor', plex)
      await plexIs(pair, plex, 'in-sync')
      t.equal(oracle.failure, undefined, `plex ${plex}: no error`)
    }
    await oracle.progress(300)
    await oracle.stop()
    t.equal(oracle.reconnects, 0, 'no connection ended')
    t.same(await oracle.verify(), [])
    await mustBeEqual(t, pair)
  })
}

/** One class is enough where FLUSH is not what it is about. */
const durability = durabilities.at(-1)!
const mirror = addMirrors

t.test(
  'F14 a plex whose file is deleted is filled anew, also if its owner is killed meanwhile',
  async (t) => {
    const pair = await Pair.start(t, { durability, mirror, size: '192MiB' })
    const count = (160 * MIB) / BLOCK_SIZE
    const client = await connect(pair.uri('vol0'))
    await fill(client, 0, count)
    await client.close()
    const disk = pair.plex('castor', 0)[0]!
    // whoever has it open still writes to what is no file any more: only the next owner misses it
    rmSync(disk)
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    t.match(await plexIs(pair, 0, 'missing'), { because: /does not exist/ })
    await pair.serve('castor')
    await pair.inSync(['castor'])
    await mustRun('truncate', ['-r', pair.plex('castor', 1)[0]!, disk])
    await labelPlex(pair, 'castor', 0)
    await until('some of it is copied', async () => {
      const found = await plexStatus(pair, 'castor', 0)
      return found?.state === 'filling' && /[1-9]\d* MiB copied/.test(found.because)
    })
    await pair.kill('pollux')
    await pair.serving('castor', 'castor')
    await plexIs(pair, 0, 'in-sync')
    t.ok(copiedBytes(await pair.status('castor')) > 0, 'it was killed in the middle, and its partner went on')
    const survivor = await connect(pair.uri('vol0'))
    t.ok(await isAllThere(survivor, count))
    await survivor.close()
    await mustBeEqual(t, pair)
  },
)

t.test('after an absence, a resync copies what has changed, on 1 TiB in seconds', async (t) => {
  const pair = await Pair.start(t, { durability, mirror, diskSize: '384MiB' })
  const terabyte = ['volume', 'create', 'huge', '--size', '1TiB', '--aggregate', 'castor']
  await pair.mustCommand(...terabyte)
  const client = await connect(`${pair.service('castor')}/huge`)
  const places = Array.from({ length: 96 }, (_, index) => index * 10_007 * MIB)
  for (const place of places) await client.write(place, Buffer.alloc(MIB, 1))
  await pair.mustCommand('cp', 'now')
  await client.close()
  const disk = pair.plex('castor', 1)[0]!
  renameSync(disk, `${disk}.away`)
  await pair.kill('castor')
  await pair.serving('castor', 'pollux')
  await plexIs(pair, 1, 'missing')
  const survivor = await connect(`${pair.service('castor')}/huge`)
  const changed = places.slice(0, 16)
  for (const place of changed) await survivor.write(place + 4096 * 3, Buffer.alloc(MIB, 2))
  await pair.mustCommand('cp', 'now')
  renameSync(`${disk}.away`, disk)
  await plexIs(pair, 1, 'in-sync')
  const { events } = await pair.status('pollux')
  const [begun, ended] = ['resync', 'plex in sync'].map((kind) =>
    events.findLast(({ event, aggregate }) => event === kind && aggregate === 'castor'),
  )
  const copied = copiedBytes({ events })
  const metadata = 4 * changed.length * BLOCK_SIZE + MIB
  t.ok(copied >= changed.length * MIB, `${copied} bytes were copied for ${changed.length} MiB`)
  t.ok(copied <= 1.2 * changed.length * MIB + metadata, 'and little more')
  const tookMs = ended!.wallMs - begun!.wallMs
  t.ok(tookMs < 5000, `in ${tookMs} ms`)
  for (const place of places) {
    const bytes = await survivor.read(place, MIB)
    const wanted = Buffer.alloc(MIB, 1)
    if (changed.includes(place)) wanted.fill(2, 4096 * 3)
    if (!bytes.equals(wanted)) t.fail(`the MiB at ${place} is not what was written`)
  }
  await survivor.close()
  await mustBeEqual(t, pair)
})

function copiedBytes({ events }: Pick<NodeStatus, 'events'>): number {
  const found = events.findLast(({ event, aggregate }) => event === 'plex in sync' && aggregate === 'castor')
  return Number(found?.facts?.['copiedBytes'] ?? 0)
}

t.test('blocks that rot on one plex are read right, and a scrub mends them', async (t) => {
  const pair = await Pair.start(t, {
    durability,
    mirror,
    // too small for what is read: all of it comes from the disks
    edit: (file) => {
      for (const aggregate of file.aggregate) aggregate.cache_size = '1MiB'
    },
  })
  const client = await connect(pair.uri('vol0'))
  const count = (48 * MIB) / BLOCK_SIZE
  await fill(client, 0, count)
  await pair.mustCommand('cp', 'now')
  const mended = async () => (await pair.engine('castor', 'castor')).mendedBlocks
  for (const plex of [1, 0]) {
    const before = await mended()
    const rotten = rot(pair.plex('castor', plex)[0]!, () => Math.random() < 0.01)
    t.ok(await isAllThere(client, count), `${rotten} rotten blocks of plex ${plex}: all reads are right`)
    const byReads = (await mended()) - before
    if (plex === 1) t.equal(byReads, 0, 'plex 0 is the one that is read')
    const { stdout, code } = await scrub(pair)
    t.equal(code, 0, 'nothing stays damaged')
    const [, found, mendedBy = '0'] = /(\d+) findings(?:, (\d+) of them mended)?$/m.exec(stdout) ?? []
    t.equal(found, mendedBy)
    t.equal(byReads + Number(mendedBy), rotten, `${byReads} were mended by reads, ${mendedBy} by the scrub`)
    t.match((await scrub(pair)).stdout, / 0 findings$/m, 'the next one finds none')
  }
  const bad = 77
  for (const plex of [0, 1]) rot(pair.plex('castor', plex)[0]!, (block) => block === bad)
  for (let block = bad - 8; block < bad + 8; block += 1) {
    const read = client.read(block * BLOCK_SIZE, BLOCK_SIZE)
    if (block === bad) t.equal(errnoOf(await read.catch((error) => error)), errno.EIO, 'lost on both')
    else t.ok((await read).equals(content(block)), `block ${block}`)
  }
  const { code, stdout } = await scrub(pair)
  t.equal(code, 1, 'that is damage')
  t.match(stdout, / 1 findings\n {2}volume vol0, block 77 \(data/)
  t.notMatch(stdout, /mended/)
  await client.write(bad * BLOCK_SIZE, content(bad))
  await pair.mustCommand('cp', 'now')
  t.equal((await scrub(pair)).code, 0, 'written again, it is good')
  await client.close()
  await mustBeEqual(t, pair)
})

const scrub = (pair: Pair) => pair.command('aggregate', 'scrub', 'castor', '--rate', '1GiB')

/** Flips a bit of each stamped block that is chosen, past the node that uses the disk. Returns how many. */
function rot(disk: string, isChosen: (block: number) => boolean): number {
  const bytes = readFileSync(disk)
  const descriptor = openSync(disk, 'r+')
  let count = 0
  for (let at = DiskLabel.decode(bytes).blocksAt; at < bytes.length; at += BLOCK_SIZE) {
    const stamp = readStamp(bytes.subarray(at, at + SECTOR))
    if (typeof stamp !== 'object' || !isChosen(stamp.sector / SECTORS)) continue
    const place = at + Math.floor(Math.random() * BLOCK_SIZE)
    writeSync(descriptor, Buffer.from([bytes[place]! ^ 4]), 0, 1, place)
    count += 1
  }
  fsyncSync(descriptor)
  closeSync(descriptor)
  return count
}
