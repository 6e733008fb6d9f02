import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { addressText } from '../../ts/config/address.ts'
import { FarOracle } from '../support/far-oracle.ts'
import { LAN, Lan, link, moving } from '../support/lan.ts'
import { type NodeName, nodeNames, Pair, partnerOf } from '../support/pair.ts'
import { missing, mustRun, notRoot, until } from '../support/program.ts'

const PORT = 10809
/**
 * A wire that was cut for some seconds is not tried at once: TCP repeats what is lost after twice as long
 * each time, at 6.2, 12.6 and 25.4 s, and a machine that is slow keeps it cut for longer.
 */
const PATIENCE_MS = 45_000
/** Less than the lifetime of an address that nobody removes. */
const SETTLED_MS = 1500
const skip = notRoot || missing('ip', 'ss', 'nsenter', 'nbdinfo')

/** A pair on two hosts, each with the address of its own aggregate, and a client of castor on a third one. */
class Scene {
  readonly pair: Pair
  readonly lan: Lan
  readonly client: FarOracle
  /** how long an address was on both hosts at once, at most */
  longestOverlapMs = 0
  #isOver = false

  constructor(t: Test, pair: Pair, lan: Lan) {
    this.pair = pair
    this.lan = lan
    const uri = `nbd://${moving.castor}:${PORT}/vol0`
    // it waits for whatever has not ended, as QEMU does: a connection that nobody ends is a failure
    const patience = { connectMs: 60_000, silenceMs: 60_000, patienceMs: PATIENCE_MS }
    const options = { uri, blockCount: 2048, paceMs: 2, ...patience }
    this.client = new FarOracle(t, lan.enter('client'), options)
    t.teardown(() => {
      this.#isOver = true
    })
    void this.#watch()
  }

  static async make(t: Test): Promise<Scene> {
    const lan = await Lan.make(t)
    const pair = await Pair.start(t)
    await pair.down()
    pair.edit((file, node) => {
      const on = (host: string, address: string) => `${host}${address.slice(address.lastIndexOf(':'))}`
      file.link.listen = on(link[node], file.link.listen)
      file.partner.link = on(link[partnerOf(node)], file.partner.link)
      for (const aggregate of file.aggregate) {
        aggregate.service = addressText({ host: moving[aggregate.home as NodeName], port: PORT })
        aggregate.interface = LAN
      }
    })
    await Promise.all(nodeNames.map((node) => pair.serve(node, { enter: lan.enter(node) })))
    await pair.inSync()
    return new Scene(t, pair, lan)
  }

  async start(node: NodeName): Promise<void> {
    await this.pair.serve(node, { enter: this.lan.enter(node) })
  }

  /** The client is served by this node, and by no other one: its address is there alone, for everybody. */
  async isWith(t: Test, node: NodeName, what: string): Promise<void> {
    await this.pair.serving('castor', node)
    await this.#isAnswered(t, what)
    const stallMs = await this.client.lap()
    // who serves does not wait for the guard of the other one, nor the client for its hardware
    const mac = await this.lan.mac(node)
    const isSettled = async () =>
      (await this.lan.holders(moving.castor)).join() === node &&
      (await this.lan.neighbour(moving.castor)) === mac
    await until('it settles', isSettled, SETTLED_MS).catch(() => {})
    t.same(await this.lan.holders(moving.castor), [node], `${what}: the address is with ${node} alone`)
    t.equal(await this.lan.neighbour(moving.castor), mac, `${what}: the client knows`)
    t.comment(
      `${what}: longest wait ${stallMs} ms, on both hosts for ${Math.round(this.longestOverlapMs)} ms`,
    )
    this.longestOverlapMs = 0
  }

  async #isAnswered(t: Test, what: string): Promise<void> {
    try {
      await this.client.progress(50, PATIENCE_MS)
    } catch (error) {
      // what it waits for is to be seen without having to see it again
      const sights = [
        ['address', await this.lan.holders(moving.castor)],
        ['neighbour', await this.lan.neighbour(moving.castor)],
        ['client', await this.lan.sockets('client', PORT)],
        ['castor', await this.lan.sockets('castor', PORT)],
        ['pollux', await this.lan.sockets('pollux', PORT)],
      ]
      for (const [where, sight] of sights) t.comment(`${what}: ${where}: ${sight}`)
      throw error
    }
  }

  async problems(node: NodeName): Promise<string[]> {
    const { addresses } = await this.pair.status(node)
    return addresses.flatMap(({ problem }) => (problem === '' ? [] : [problem]))
  }

  async #watch(): Promise<void> {
    let sinceMs: number | undefined
    while (!this.#isOver) {
      const holders = await this.lan.holders(moving.castor).catch(() => [])
      if (holders.length < 2) sinceMs = undefined
      else sinceMs ??= performance.now()
      if (sinceMs !== undefined)
        this.longestOverlapMs = Math.max(this.longestOverlapMs, performance.now() - sinceMs)
      await sleep(10)
    }
  }
}

t.test(
  'a service address is where its aggregate is served, whatever is killed, stopped or cut',
  { skip },
  async (t) => {
    const scene = await Scene.make(t)
    const { pair, lan, client } = scene
    await scene.isWith(t, 'castor', 'at first')
    t.same(await lan.holders(moving.pollux), ['pollux'], 'the other aggregate has its own')

    // a client that was lost once says nothing about what comes after
    const step = async (what: string, check: (t: Test) => Promise<void>): Promise<void> => {
      if (client.said.failure === undefined) await t.test(what, check)
    }

    const giveBack = async (): Promise<void> => {
      await pair.inSync()
      await pair.mustCommand('giveback', 'castor')
      await scene.isWith(t, 'castor', 'giveback')
    }

    await step('kill -9 of the owner', async (t) => {
      await pair.kill('castor')
      await scene.isWith(t, 'pollux', 'takeover')
      await scene.start('castor')
      await giveBack()
    })

    await step('the link between the nodes is cut', async (t) => {
      await lan.plugPartners(false)
      await until(
        'castor goes on alone',
        async () => (await pair.engine('castor', 'castor')).log.state === 'stale',
      )
      await scene.isWith(t, 'castor', 'the link is cut')
      await lan.plugPartners(true)
      await pair.inSync()
      await scene.isWith(t, 'castor', 'the link is mended')
    })

    await step('the owner is stopped for longer than its lease, and goes on', async (t) => {
      const pid = await pair.kill('castor', 'SIGSTOP')
      await scene.isWith(t, 'pollux', 'takeover')
      process.kill(pid, 'SIGCONT')
      await until(
        'castor hears that it is not the owner',
        async () => (await pair.engine('castor', 'castor')).state === 'keeper',
      )
      await sleep(500)
      await scene.isWith(t, 'pollux', 'castor goes on')
      await giveBack()
    })

    await step('the host of the owner is cut off', async (t) => {
      const { answered } = client.said
      await lan.plug('castor', false)
      await lan.plugPartners(false)
      await until('castor says so', async () => (await scene.problems('castor')).includes(`${LAN} is down`))
      await sleep(2700)
      t.match(await pair.engine('pollux', 'castor'), { serves: false, takeover: { possible: false } })
      t.same(await lan.holders(moving.castor), ['castor'], 'its lease is live, so nobody takes over')
      t.match((await pair.command('status')).stdout, `castor: address ${moving.castor}: ${LAN} is down`)
      await lan.plug('castor', true)
      await lan.plugPartners(true)
      await scene.isWith(t, 'castor', 'it is back')
      t.ok(client.said.answered > answered)
      t.same(await scene.problems('castor'), [])
      await pair.inSync()
    })
    await step('only clients are cut off', async (t) => {
      await lan.plug('client', false)
      await sleep(1000)
      await lan.plug('client', true)
      await scene.isWith(t, 'castor', 'the wire of the client')
      // what tells it that its connection has ended is lost: it has to ask, as docs/reference has it
      client.keepAlive()
      await lan.plug('castor', false)
      await until('castor says so', async () => (await scene.problems('castor')).length > 0)
      await pair.mustCommand('takeover', 'castor')
      await scene.isWith(t, 'pollux', 'the operator has moved it')
      await lan.plug('castor', true)
      await giveBack()
    })
    await step('everything of the owner is killed at once, its guard too', async (t) => {
      const pid = await pair.pid('castor')
      const [guard] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')
      process.kill(Number(guard), 'SIGKILL')
      await pair.kill('castor')
      await pair.serving('castor', 'pollux')
      // nobody of castor's is left: it is the kernel that removes the address
      const isAlone = async () => (await lan.holders(moving.castor)).length === 1
      await until('the address is on one host', isAlone, 3500)
      await scene.isWith(t, 'pollux', 'takeover')
      await scene.start('castor')
      await giveBack()
    })
    await step('a node that is told to stop leaves its address, of IPv6, to the other', async (t) => {
      const uri = `nbd://${addressText({ host: moving.pollux, port: PORT })}/vol1`
      const [command, ...args] = [...lan.enter('client'), 'nbdinfo', '--size', uri]
      await mustRun(command!, args)
      t.equal(await lan.neighbour(moving.pollux), await lan.mac('pollux'))
      await pair.kill('pollux', 'SIGTERM')
      await pair.serving('pollux', 'castor')
      await mustRun(command!, args)
      t.same(await lan.holders(moving.pollux), ['castor'])
      t.equal(await lan.neighbour(moving.pollux), await lan.mac('castor'))
    })
    t.same(await client.verify(), [], 'every acknowledged write is there')
  },
)
