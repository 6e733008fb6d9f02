import t from 'tap'
import { OUTPUT_BYTES, OUTPUT_DATA_BYTES, OUTPUT_REPLY_BYTES, Output } from '../../../ts/flow/output.ts'
import { MemoryTwin } from '../log/memory-twin.ts'
import { StreamTwin } from '../partner/stream-twin.ts'

class Rig {
  readonly #memory = new MemoryTwin()
  readonly stream = new StreamTwin(this.#memory)
  readonly heard: string[] = []
  sentCount = 0
  readonly output = new Output(this.#memory.allocate(OUTPUT_BYTES), () => {
    this.sentCount += 1
  })

  constructor() {
    this.stream.tamper = (bytes) => this.heard.push(new TextDecoder().decode(bytes))
    this.output.attach(this.stream)
  }

  say(words: string): void {
    const { view, at } = this.output
    new Uint8Array(view.buffer, view.byteOffset + at).set(new TextEncoder().encode(words))
    this.output.advance(words.length)
  }
}

t.test('what gathers while a send is under way leaves in the next one', async (t) => {
  const rig = new Rig()
  t.ok(rig.output.isEmpty)
  rig.output.flush()
  t.equal(rig.stream.sends, 0, 'nothing is not sent')
  rig.say('one ')
  rig.say('two ')
  rig.output.flush()
  rig.say('three ')
  rig.output.flush()
  rig.say('four')
  t.same([rig.stream.sends, rig.output.isSending, rig.output.isEmpty], [1, true, false])
  rig.stream.step()
  t.notOk(rig.output.isEmpty, 'there is more')
  rig.output.flush()
  rig.stream.step()
  t.same(rig.heard, ['one two ', 'three four'])
  t.same([rig.sentCount, rig.output.isEmpty], [2, true])
})

t.test('bytes being sent are not written over', async (t) => {
  const rig = new Rig()
  rig.say('a'.repeat(1000))
  const first = rig.output.at
  rig.output.flush()
  t.ok(Math.abs(rig.output.at - first) > 1000)
  rig.say('b'.repeat(2000))
  rig.stream.step()
  rig.output.flush()
  rig.stream.step()
  t.same(
    rig.heard.map((words) => `${words[0]}${words.length}`),
    ['a1000', 'b2000'],
  )
})

t.test('data never takes the room that is kept for replies', async (t) => {
  const { output } = new Rig()
  let pieces = 0
  for (; output.hasRoomForData(OUTPUT_DATA_BYTES); pieces += 1) output.advance(OUTPUT_DATA_BYTES)
  t.equal(pieces, 1)
  t.ok(output.hasRoomForReply(OUTPUT_REPLY_BYTES))
  t.notOk(output.hasRoomForReply(512 * 1024))
  t.doesNotThrow(() => output.advance(OUTPUT_REPLY_BYTES))
  t.throws(() => output.advance(512 * 1024), /fit into the output buffer/)
})

t.test('a send that fails is remembered, and nothing more is sent to this stream', async (t) => {
  const rig = new Rig()
  rig.say('one')
  rig.output.flush()
  t.throws(() => rig.output.attach(rig.stream), /one stream at a time/)
  rig.stream.failSend(-32)
  t.ok(rig.output.failed)
  rig.say('two')
  rig.output.flush()
  t.equal(rig.stream.sends, 1)
  rig.output.attach(rig.stream)
  t.same([rig.output.failed, rig.output.isEmpty], [false, true], 'the next stream starts with nothing')
})
