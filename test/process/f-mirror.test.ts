import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { LogDumpEntry } from '../../ts/node/messages.ts'
import { holdAcknowledgements, LinkProxy } from '../support/link-proxy.ts'
import { connect } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type NodeName, Pair } from '../support/pair.ts'
import { until } from '../support/program.ts'
import { parseRing, type RingFile } from '../support/ring-file.ts'
import { readStamp, SECTOR, stamped } from '../support/stamps.ts'

const GIB = 1024 ** 3

/** A pair whose link goes through a proxy: pollux, whose name sorts second, dials castor. */
async function pairWithProxy(t: Test, options: { durability: string; logSize?: string }) {
  const pair = await Pair.start(t, options)
  const [host, port] = pair.config('castor').file.link.listen.split(':')
  const proxy = await LinkProxy.start({ host: host!, port: Number(port) })
  t.teardown(() => proxy.close())
  await pair.down()
  pair.edit((file, node) => {
    if (node === 'pollux') file.partner.link = `127.0.0.1:${proxy.port}`
  })
  await pair.up()
  await pair.inSync()
  return { pair, proxy }
}

async function dump(pair: Pair, node: NodeName, copy: 'own' | 'partner'): Promise<LogDumpEntry[]> {
  const text = await pair.control(node).text('GET', `/log?copy=${copy}&aggregate=castor`)
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LogDumpEntry)
}

const cp = (pair: Pair, action: 'now' | 'hold' | 'resume') =>
  pair.control('castor').json('POST', '/cp', { action, aggregate: 'castor' })

/** Newest version of each sector that a ring holds. */
function stampsIn(ring: RingFile): Map<number, number> {
  const found = new Map<number, number>()
  const entries = [...ring.entries.values()].sort((a, b) => a.sequence - b.sequence)
  for (const { pages, offset, good } of entries) {
    for (let at = 0; good && at < pages.length; at += SECTOR) {
      const stamp = readStamp(pages.subarray(at, at + SECTOR))
      if (typeof stamp === 'object' && stamp.sector === (offset + at) / SECTOR) {
        found.set(stamp.sector, stamp.version)
      }
    }
  }
  return found
}

for (const durability of durabilities) {
  t.test(`F1: a write is answered when both logs have it (${durability})`, async (t) => {
    const { pair, proxy } = await pairWithProxy(t, { durability })
    await cp(pair, 'hold')
    const client = await connect(pair.uri('vol0'))
    await client.write(0, Buffer.alloc(4096, 1))
    t.equal(proxy.connections > 0, true, 'the link goes through the proxy')
    proxy.forward = holdAcknowledgements
    let answered = false
    const write = client.write(4096, Buffer.alloc(4096, 2)).then(() => {
      answered = true
    })
    await sleep(2000)
    t.equal(answered, false, 'no reply for two seconds without the acknowledgement of the partner')
    t.equal((await pair.engine('castor', 'castor')).log.state, 'in-sync', 'and the link is still there')
    t.ok(proxy.heldCount > 0, 'the partner had it already')
    proxy.forward = () => 'pass'
    proxy.release()
    await write
    t.equal(answered, true)
    await client.close()
    const [own, copy] = [await dump(pair, 'castor', 'own'), await dump(pair, 'pollux', 'partner')]
    t.same(own.slice(-2), copy.slice(-2), 'both logs tell the same')
    const { sequence } = own.at(-1)!
    const [here, there] = [pair.ring('castor', 'castor'), pair.ring('pollux', 'castor')]
    t.ok(here.entries.get(sequence)!.good, 'its checksums hold')
    t.ok(here.entries.get(sequence)!.bytes.equals(there.entries.get(sequence)!.bytes), 'byte for byte')
    t.ok(here.entries.get(sequence)!.pages.equals(Buffer.alloc(4096, 2)))
  })

  t.test(`F1: at any moment, what was answered is in both logs (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability, logSize: '64MiB' })
    await cp(pair, 'hold')
    const oracle = new Oracle({ uri: pair.uri('vol0'), plain: true })
    oracle.start()
    for (let moment = 0; moment < 5; moment += 1) {
      await oracle.progress(500 + Math.floor(Math.random() * 200))
      const bytes = await atOneMoment(pair)
      const acknowledged = oracle.model.acknowledgedStamps()
      for (const [where, ring] of bytes.map((one) => stampsIn(parseRing(one))).entries()) {
        const lost = [...acknowledged].filter(([sector, version]) => (ring.get(sector) ?? 0) < version)
        t.same(lost.slice(0, 5), [], `moment ${moment}, ${where === 0 ? 'castor' : 'pollux'}: all are there`)
      }
      t.ok(acknowledged.size > 500, `${acknowledged.size} sectors were compared`)
    }
    await oracle.stop()
    t.same(await oracle.verify(), [])
  })

  t.test(`F2: the partner keeps the copy, and does nothing with it (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    await cp(pair, 'now')
    await cp(pair, 'hold')
    const before = await pair.engine('castor', 'castor')
    const client = await connect(pair.uri('vol0'))
    for (let first = 0; first < 1000; first += 50) {
      const blocks = Array.from({ length: 50 }, (_, index) => first + index)
      await Promise.all(blocks.map((block) => client.write(block * 4096, stamped(1, block * 8, 8, 7))))
    }
    t.ok(
      (await client.read(999 * 4096, 4096)).equals(stamped(1, 999 * 8, 8, 7)),
      'the owner reads the new data',
    )
    const kept = (await dump(pair, 'pollux', 'partner')).map(({ sequence }) => sequence)
    const first = before.log.lastSequence + 1
    t.same(
      kept,
      Array.from({ length: 1000 }, (_, index) => first + index),
      'exactly the thousand entries',
    )
    const disk = pair.disks('castor')[0]!
    t.notOk(openFiles(await pair.pid('pollux')).includes(disk), 'it has not even opened the disk')
    t.ok(openFiles(await pair.pid('castor')).includes(disk), 'as the owner has')
    await cp(pair, 'resume')
    const { changes } = (await cp(pair, 'now')) as { changes: { containedSequence: number }[] }
    const contained = changes[0]!.containedSequence
    t.ok(contained >= first + 999, 'the consistency point has all of it')
    const freed = await until('the copy is released', async () => {
      const { firstSequence } = (await pair.engine('pollux', 'castor')).log
      return firstSequence > first && firstSequence
    })
    t.equal(freed, contained + 1, 'released through what the disks contain, and no further')
    await client.close()
  })

  t.test(`F11: each node reads both portions of the log locally (${durability})`, async (t) => {
    const pair = await Pair.start(t, {
      durability,
      edit: (file) => {
        for (const aggregate of file.aggregate) aggregate.takeover = 'manual'
      },
    })
    await cp(pair, 'hold')
    const client = await connect(pair.uri('vol0'))
    for (let block = 0; block < 20; block += 1) await client.write(block * 4096, Buffer.alloc(4096, block))
    const local = await dump(pair, 'castor', 'own')
    t.ok(local.length >= 20 && local.every(({ good }) => good))
    t.same(await dump(pair, 'pollux', 'partner'), local, 'the portion at the partner is the same')
    await pair.kill('castor')
    t.same(await dump(pair, 'pollux', 'partner'), local, 'and is read with the owner dead')
    t.equal((await pair.engine('pollux', 'castor')).serves, false, 'without taking over')
    await client.disconnected
  })

  t.test(`F12: an entry holds the block itself (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    await cp(pair, 'now')
    await cp(pair, 'hold')
    const data = stamped(77, 800, 64, 5)
    const client = await connect(pair.uri('vol0'))
    await client.write(800 * SECTOR, data)
    const copy = pair.ring('pollux', 'castor')
    const entries = [...copy.entries.values()].filter(({ offset, good }) => good && offset === 800 * SECTOR)
    t.ok(
      entries.some(({ pages }) => pages.equals(data)),
      'the copy has all the bytes, and its checksums hold',
    )
    await pair.kill('castor')
    rmSync(pair.ringPath('castor', 'castor'))
    await pair.serving('castor', 'pollux')
    const survivor = await connect(pair.uri('vol0'))
    t.ok((await survivor.read(800 * SECTOR, data.length)).equals(data), 'no other source was left')
    await survivor.close()
  })

  t.test(`F13: an entry can be the request itself (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    await pair
      .control('castor')
      .json('POST', '/volumes', { name: 'wide', size: 4 * GIB, aggregate: 'castor' })
    const uri = `${pair.service('castor')}/wide`
    const client = await connect(uri)
    const places = [0, GIB / 2, GIB, 2 * GIB - 4096, 3 * GIB]
    for (const place of places) await client.write(place, Buffer.alloc(4096, 9), { fua: true })
    await cp(pair, 'now')
    await cp(pair, 'hold')
    const { log } = await pair.engine('castor', 'castor')
    await client.writeZeroes(GIB, GIB)
    await client.trim(0, 4096 * 16)
    await pair.control('castor').json('PATCH', '/volumes/wide', { size: 3 * GIB })
    await pair.control('castor').json('PATCH', '/volumes/wide', { newName: 'narrow' })
    const fresh = (await dump(pair, 'castor', 'own')).filter(({ sequence }) => sequence > log.lastSequence)
    t.match(fresh, [
      { kind: 'write-zeroes', offset: GIB, length: GIB, pageCount: 0 },
      { kind: 'trim', offset: 0, length: 65536, pageCount: 0 },
      { kind: 'resize', pageCount: 1 },
      { kind: 'rename', pageCount: 1 },
    ])
    t.equal(fresh.length, 4, 'one entry each, whatever the length')
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    const survivor = await connect(`${pair.service('castor')}/narrow`)
    t.equal(survivor.byteLength, 3 * GIB, 'resized and renamed')
    const first = await Promise.all(
      places.slice(0, 4).map(async (place) => (await survivor.read(place, 4096))[0]),
    )
    t.same(first, [0, 9, 0, 0], 'trimmed, kept, zeroed, zeroed')
    await survivor.close()
  })
}

/** Both rings with both nodes stopped, so that nothing moves between one and the other. */
async function atOneMoment(pair: Pair): Promise<Buffer[]> {
  const pids = [await pair.pid('castor'), await pair.pid('pollux')]
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    return [readFileSync(pair.ringPath('castor', 'castor')), readFileSync(pair.ringPath('pollux', 'castor'))]
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)]
    } catch {
      return []
    }
  })
}
