import { mkdirSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { connect } from '../support/nbd-client.ts'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type EngineFacts, type NodeName, Pair, partnerOf } from '../support/pair.ts'
import { mustRun, scratch } from '../support/program.ts'
import { stamped } from '../support/stamps.ts'

const MIB = 1024 * 1024
const cp = (pair: Pair, node: NodeName, action: 'now' | 'hold' | 'resume', aggregate: string = node) =>
  pair.control(node).json('POST', '/cp', { action, aggregate })

for (const durability of durabilities) {
  t.test(`F3: takeover replays from the copy what no disk has (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    await cp(pair, 'castor', 'hold')
    const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 1024 })
    oracle.start()
    await oracle.progress(800)
    await pair.kill('castor')
    await oracle.progress(300)
    await oracle.stop()
    t.equal(await pair.serving('castor'), 'pollux', 'the partner serves the same URI')
    t.ok(oracle.reconnects > 0, 'after the client had to connect again')
    t.same(await oracle.verify(), [], `${oracle.answered} requests, none lost`)
    const { recovery } = await pair.engine('pollux', 'castor')
    t.ok(recovery!.entries > 300, 'from the log, not from the disks')
    t.comment(`longest wait of a request: ${Math.round(oracle.longestWaitMs)} ms`)
  })

  t.test(`F4: the same when the second node dies, with both volumes loaded (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    const oracles = ['vol0', 'vol1'].map((volume, tag) => new Oracle({ uri: pair.uri(volume), tag: tag + 1 }))
    for (const oracle of oracles) oracle.start()
    for (const victim of ['pollux', 'castor'] as const) {
      await Promise.all(oracles.map((oracle) => oracle.progress(600)))
      await pair.kill(victim)
      await Promise.all(oracles.map((oracle) => oracle.progress(300)))
      t.equal(await pair.serving(victim), partnerOf(victim), `${victim} is stood in for`)
      t.equal(await pair.serving(partnerOf(victim)), partnerOf(victim), 'by a node that serves on')
      await pair.up()
      await pair.inSync()
    }
    await Promise.all(oracles.map((oracle) => oracle.stop()))
    for (const oracle of oracles) t.same(await oracle.verify(), [])
  })

  t.test(`F9: exactly what the disks do not contain is applied, and once (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    let owner: NodeName = 'castor'
    for (const pointAfter of [0, 2, 4, 6, 8]) {
      await changeAndKill(pair, owner, `steps-${pointAfter}`, pointAfter)
      const survivor = partnerOf(owner)
      await pair.serving('castor', survivor)
      await judgeRecovery(t, pair, survivor, `steps-${pointAfter}`)
      await pair.up()
      await pair.inSync()
      owner = survivor
    }
  })

  t.test(`F10: own recovery and takeover give the same image (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    const oracle = new Oracle({ uri: pair.uri('vol0'), blockCount: 1024 })
    await oracle.run(600)
    await cp(pair, 'castor', 'now')
    await cp(pair, 'castor', 'hold')
    await oracle.run(600)
    await Promise.all([pair.kill('castor'), pair.kill('pollux')])
    const saved = scratch(t)
    await save(pair, saved)
    const seen: Record<string, unknown>[] = []
    for (const alone of ['castor', 'pollux'] as const) {
      await restore(pair, saved)
      await pair.serve(alone)
      await pair.serving('castor', alone)
      t.same(await oracle.verify(), [], `${alone} alone has everything`)
      await cp(pair, alone, 'now', 'castor')
      const { recovery, consistencyPoint, volumes } = await pair.engine(alone, 'castor')
      const { source, contained, generation, first, last, entries } = recovery!
      t.equal(source, 'ring')
      t.ok(entries >= 600 * 0.7, 'there was something to replay')
      const { containedSequence, generation: after, root } = consistencyPoint
      seen.push({ contained, generation, first, last, entries, containedSequence, after, root, volumes })
      await pair.kill(alone)
    }
    t.same(seen[1], seen[0], 'the same entries were replayed, and the next image has the same root')
  })
}

/** A sequence in which a step that is skipped or done twice shows; a consistency point after one of them. */
async function changeAndKill(pair: Pair, owner: NodeName, name: string, pointAfter: number): Promise<void> {
  const control = pair.control(owner)
  const uri = `${pair.service('castor')}/${name}`
  const write = async (block: number, version: number) => {
    const client = await connect(uri)
    await client.write(block * 4096, stamped(3, block * 8, 8, version))
    await client.close()
  }
  const steps = [
    () => control.json('POST', '/volumes', { name, size: 8 * MIB, aggregate: 'castor' }),
    async () => {
      for (const block of [0, 1, 2, 1024, 2047]) await write(block, 1)
    },
    () => control.json('PATCH', `/volumes/${name}`, { size: 4 * MIB }),
    () => control.json('PATCH', `/volumes/${name}`, { size: 8 * MIB }),
    () => write(1024, 2),
    async () => {
      const client = await connect(uri)
      await client.trim(0, 2 * 4096)
      await client.close()
    },
    () => write(0, 3),
    () => control.json('PATCH', `/volumes/${name}`, { newName: `${name}-done` }),
    () => control.json('POST', '/volumes', { name, size: MIB, aggregate: 'castor' }),
    () => control.json('DELETE', `/volumes/${name}`),
  ]
  await cp(pair, owner, 'now', 'castor')
  for (const [index, step] of steps.entries()) {
    await step()
    if (index === pointAfter) await cp(pair, owner, 'now', 'castor')
  }
  await pair.kill(owner)
}

async function judgeRecovery(t: Test, pair: Pair, survivor: NodeName, name: string): Promise<void> {
  const engine = await pair.engine(survivor, 'castor')
  const { contained, first, last, entries, generation } = engine.recovery as NonNullable<
    EngineFacts['recovery']
  >
  t.equal(first, contained + 1, `${name}: replay begins behind what generation ${generation} contains`)
  t.equal(entries, last - first + 1, `${name}: and leaves none out`)
  t.ok(entries > 0)
  const names = engine.volumes.map((volume) => volume.name)
  t.ok(names.includes(`${name}-done`) && !names.includes(name), `${name}: renamed, its successor deleted`)
  const client = await connect(`${pair.service('castor')}/${name}-done`)
  t.equal(client.byteLength, 8 * MIB)
  const expected: [number, number][] = [
    [0, 3],
    [1, 0],
    [2, 1],
    [1024, 2],
    [2047, 0],
  ]
  for (const [block, version] of expected) {
    const content = version === 0 ? Buffer.alloc(4096) : stamped(3, block * 8, 8, version)
    t.ok(
      (await client.read(block * 4096, 4096)).equals(content),
      `${name}: block ${block} is version ${version}`,
    )
  }
  await client.close()
}

/** Everything that outlives the processes: disks, both NVRAM directories, the arbiter's records. */
function places(pair: Pair): string[] {
  const files = (['castor', 'pollux'] as const).map((node) => pair.config(node).file)
  const folders = files.flatMap((file) => [file.nvram.directory, file.arbiter.directory])
  const disks = files.flatMap((file) => file.aggregate.flatMap(({ disks }) => disks))
  return [...new Set([...folders, ...disks])]
}

async function save(pair: Pair, to: string): Promise<void> {
  for (const [index, place] of places(pair).entries()) {
    mkdirSync(path.join(to, String(index)), { recursive: true })
    await mustRun('cp', ['-a', '--sparse=always', place, path.join(to, String(index), 'saved')])
  }
}

async function restore(pair: Pair, from: string): Promise<void> {
  for (const [index, place] of places(pair).entries()) {
    const saved = path.join(from, String(index), 'saved')
    await mustRun('rm', ['-rf', place])
    await mustRun('cp', ['-a', '--sparse=always', saved, place])
  }
}
