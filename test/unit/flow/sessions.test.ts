import t from 'tap'
import { type Client, Progress, type Server } from '../../../ts/flow/client.ts'
import { Sessions, WORK_PER_TURN } from '../../../ts/flow/sessions.ts'
import { PLAIN_TERMS } from '../../../ts/nbd/session-terms.ts'
import { command, encodeRequest } from '../../support/nbd-wire.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { StreamTwin } from '../partner/stream-twin.ts'

const flush = encodeRequest({ command: command.flush, cookie: 1n })

/** An aggregate whose every request is so much work; notes whose requests it took up. */
class Rig implements Server {
  readonly memory = new MemoryTwin()
  readonly sessions = new Sessions(this, this.memory, 100)
  readonly slots: number[] = []
  readonly #workPerRequest: number

  constructor(workPerRequest: number) {
    this.#workPerRequest = workPerRequest
  }

  connect(requests: number): void {
    const leftover = new Uint8Array(Buffer.concat(Array.from({ length: requests }, () => flush)))
    const stream = new StreamTwin(this.memory)
    const facts = { volume: 1, byteLength: 1 << 20, readOnly: false, terms: PLAIN_TERMS }
    this.sessions.admit({ ...facts, stream, leftover })
  }

  turn(): number[] {
    this.slots.length = 0
    this.sessions.parse()
    return [...this.slots]
  }

  execute(client: Client): Progress {
    this.slots.push(client.slot)
    client.work += this.#workPerRequest
    client.reply(client.request)
    return Progress.DONE
  }

  touch(client: Client): void {
    this.sessions.touch(client)
  }

  ready(client: Client): void {
    this.sessions.ready(client)
  }

  gone(): void {}
}

t.test('a turn takes up a bounded part of what clients sent, and the others come first then', async (t) => {
  const rig = new Rig(WORK_PER_TURN / 4)
  for (let slot = 0; slot < 6; slot += 1) rig.connect(2)
  t.same(rig.turn(), [0, 1, 2, 3], 'each ends its part after one request')
  t.ok(rig.sessions.hasReady)
  t.same(rig.turn(), [4, 5, 0, 1])
  t.same(rig.turn(), [2, 3, 4, 5])
  while (rig.sessions.hasReady) t.same(rig.turn(), [])
})

t.test('a client that stalls again before it is woken is woken once', async (t) => {
  const rig = new Rig(1)
  rig.connect(1)
  const [client] = rig.sessions.clients
  rig.sessions.parse()
  rig.sessions.stall(client!)
  rig.sessions.stall(client!)
  t.ok(rig.sessions.hasStalled)
  rig.sessions.wakeStalled()
  t.same([rig.sessions.hasStalled, client!.isStalled, client!.isReady], [false, false, true])
  rig.sessions.stall(client!)
  t.ok(rig.sessions.hasStalled, 'and may stall again')
})
