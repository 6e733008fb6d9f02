import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Oracle } from '../support/oracle.ts'
import { durabilities, type NodeName, nodeNames, Pair } from '../support/pair.ts'
import { type Ended, pollux, scratch, until } from '../support/program.ts'

const stopTime = process.env['POLLUX_LONG'] ? 60_000 : 10_000

t.test(
  'of two hosts, that of the giver is where a handover is told, and it is told who has it then',
  async (t) => {
    const pair = await Pair.start(t)
    const hosts = scratch(t)
    const on = (node: NodeName, ...args: string[]): Promise<Ended> => {
      const run = path.join(hosts, node)
      mkdirSync(run, { recursive: true })
      rmSync(path.join(run, `${node}.sock`), { force: true })
      symlinkSync(path.join(pair.dir, `${node}.sock`), path.join(run, `${node}.sock`))
      return pollux([...args, '--dir', run])
    }
    const elsewhere = await on('pollux', 'takeover', 'castor')
    t.equal(elsewhere.code, 1)
    t.match(elsewhere.stderr, /castor/, `and not where it is not: ${elsewhere.stderr.trim()}`)
    const taken = await on('castor', 'takeover', 'castor')
    t.match(taken.stdout, /^pollux owns castor now; whether it serves is seen on its host$/m, taken.stderr)
    t.equal(await pair.serving('castor'), 'pollux')
    await pair.inSync()
    const nowhere = await on('castor', 'giveback', 'castor')
    t.match(
      nowhere.stderr,
      /the partner of castor does not answer here; start it, or give the command on its host/,
    )
    const back = await on('pollux', 'giveback', 'castor')
    t.match(back.stdout, /^castor owns castor now/m, back.stderr)
    t.equal(await pair.serving('castor'), 'castor')
  },
)

for (const durability of durabilities) {
  t.test(`a giveback under a writing client is a pause, no error (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    const oracle = new Oracle({ uri: pair.uri('vol0') })
    oracle.start()
    await oracle.progress(300)
    await pair.kill('castor')
    await pair.serving('castor', 'pollux')
    await oracle.progress(300)
    await pair.up()
    await pair.inSync()
    await oracle.progress(300)
    const dry = await pair.mustCommand('giveback', 'castor', '--dry-run')
    t.equal(await pair.serving('castor'), 'pollux', `a dry run only says what it would do: ${dry.trim()}`)
    await pair.mustCommand('giveback', 'castor')
    t.equal(await pair.serving('castor'), 'castor', 'it is back where it belongs')
    await oracle.progress(300)
    await pair.mustCommand('takeover', 'castor')
    t.equal(await pair.serving('castor'), 'pollux', 'a takeover of a living node is a handover')
    await oracle.progress(300)
    await pair.mustCommand('giveback', 'castor')
    await oracle.progress(300)
    await oracle.stop()
    t.ok(oracle.reconnects >= 4)
    t.same(await oracle.verify(), [])
    t.comment(`longest wait of one request: ${Math.round(oracle.longestWaitMs)} ms`)
  })

  t.test(`both killed at once: nothing acknowledged is missing (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    const oracles = ['vol0', 'vol1'].map((volume, tag) => new Oracle({ uri: pair.uri(volume), tag: tag + 1 }))
    for (const oracle of oracles) oracle.start()
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(oracles.map((oracle) => oracle.progress(500)))
      await Promise.all(nodeNames.map((node) => pair.kill(node)))
      await pair.up()
    }
    await Promise.all(oracles.map((oracle) => oracle.progress(200)))
    await Promise.all(oracles.map((oracle) => oracle.stop()))
    for (const oracle of oracles) t.same(await oracle.verify(), [])
  })

  t.test(
    `one alone serves what the record lets it serve, and says why not the rest (${durability})`,
    async (t) => {
      const pair = await Pair.start(t, { durability })
      const oracle = new Oracle({ uri: pair.uri('vol0') })
      await oracle.run(400)
      // pollux dies first, so castor goes on alone: only castor's log has the rest
      await pair.kill('pollux')
      await oracle.run(400)
      await pair.serving('pollux', 'castor')
      await pair.kill('castor')
      await pair.serve('pollux')
      const because = await until('pollux says why it waits', async () => {
        const engine = await pair.engine('pollux', 'castor')
        t.equal(engine.serves, false)
        return engine.because !== '' && engine.takeover.because
      })
      t.match(because, /log|castor/, `it must not serve: ${because}`)
      await sleep(3000)
      t.equal((await pair.engine('pollux', 'castor')).serves, false, 'and it does not change its mind')
      const refused = await pair.command('takeover', 'castor')
      t.equal(refused.code, 1, `nor by command without force: ${refused.stderr.trim()}`)
      t.match(refused.stderr, /--force --accept-data-loss/, 'it names what would do it')
      await pair.up()
      await pair.serving('castor', 'castor')
      t.same(await oracle.verify(), [], 'with castor back, everything is')
    },
  )

  t.test(
    `a stopped owner writes nothing when it goes on, and says that it was fenced (${durability})`,
    async (t) => {
      const pair = await Pair.start(t, { durability })
      const oracle = new Oracle({ uri: pair.uri('vol0'), silenceMs: 1500 })
      oracle.start()
      await oracle.progress(300)
      // requests in its socket buffers and a consistency point under way: all it could do wrong
      void pair
        .control('castor')
        .json('POST', '/cp', { action: 'now', aggregate: 'castor' })
        .catch(() => undefined)
      const pid = await pair.kill('castor', 'SIGSTOP')
      const stoppedMs = performance.now()
      await pair.serving('castor', 'pollux')
      await oracle.progress(300)
      await sleep(Math.max(0, stopTime - (performance.now() - stoppedMs)))
      await oracle.stop()
      await pair.control('pollux').json('POST', '/cp', { action: 'now', aggregate: 'castor' })
      await pair.control('pollux').json('POST', '/cp', { action: 'hold', aggregate: 'castor' })
      const before = pair.diskDigest('castor')
      process.kill(pid, 'SIGCONT')
      await until('it says that it was fenced', () => /fenced/.test(pair.log('castor')))
      await sleep(500)
      t.equal(pair.diskDigest('castor'), before, 'not one byte was written to the disks')
      t.equal((await pair.engine('castor', 'castor')).serves, false)
      const { events } = await pair.status('castor')
      t.ok(
        events.some(({ event }) => event === 'fenced'),
        'status says so, too',
      )
      await pair.control('pollux').json('POST', '/cp', { action: 'resume', aggregate: 'castor' })
      await pair.inSync()
      t.same(await oracle.verify(), [], 'the one that came back is a keeper')
      await pair.mustCommand('giveback', 'castor')
      t.same(await oracle.verify(), [])
    },
  )

  t.test(`a loss of power takes what the durability class says (${durability})`, async (t) => {
    const pair = await Pair.start(t, { durability })
    // a consistency point has the volumes, whatever is lost
    for (const node of nodeNames)
      await pair.control(node).json('POST', '/cp', { action: 'now', aggregate: node })
    const oracle = new Oracle({ uri: pair.uri('vol0') })
    await oracle.run(600)
    // its writes are not flushed: any of them may be lost, none may be mixed up
    const careless = new Oracle({ uri: pair.uri('vol1'), tag: 2, plain: true })
    await careless.run(600)
    await Promise.all(nodeNames.map((node) => pair.kill(node)))
    for (const node of nodeNames) rmSync(pair.config(node).file.nvram.directory, { recursive: true })
    for (const node of nodeNames) await pair.serve(node)
    if (durability === 'pair') {
      const because = await until('it says why it does not serve', async () => {
        const { serves, because } = await pair.engine('castor', 'castor')
        if (serves) throw new Error('it serves without the log that the record calls in sync')
        return /log|NVRAM/.test(because) && because
      })
      t.comment(because)
      for (const node of nodeNames) {
        const wish = { force: true, acceptDataLoss: true, reason: 'the power was lost', aggregates: [node] }
        await pair.control(node).json('POST', '/takeover', wish, 60_000)
      }
      t.match(pair.record('castor'), /the power was lost/, "the operator's words are on record")
    }
    await pair.inSync()
    const mistakes = await oracle.verify({ afterPowerLoss: true })
    if (durability === 'vault') t.same(mistakes, [], 'everything flushed is there')
    else
      t.same(
        mistakes.filter((line) => /no stamp|of volume 2/.test(line)),
        [],
        'nothing is invented',
      )
    t.same(await careless.verify({ afterPowerLoss: true }), [])
  })
}
