import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { hear, service, until } from '../../support/nbd-service.ts'
import {
  decodeOptionReplies,
  encodeClientFlags,
  encodeInfoData,
  encodeOption,
  option,
  optionReply,
} from '../../support/nbd-wire.ts'

const GREETING_BYTE_LENGTH = 18
const go = encodeOption(option.go, encodeInfoData('data'))

t.test('while the pair stops, whoever comes or is in the handshake hears so', async (t) => {
  const { listener, greeted, dial } = service(t)
  listener.open()
  const early = await dial()
  early.write(encodeClientFlags())
  const late = hear(early)
  await until(() => late.bytes.length === GREETING_BYTE_LENGTH)
  listener.refuse()
  const comer = await dial()
  comer.write(encodeClientFlags())
  for (const [client, heard] of [
    [early, late],
    [comer, hear(comer)],
  ] as const) {
    client.write(Buffer.concat([encodeOption(option.list), go]))
    await until(() => heard.bytes.includes('shutting down') && heard.bytes.length > 100)
    const answers = decodeOptionReplies(heard.bytes.subarray(GREETING_BYTE_LENGTH))
    t.same(
      answers.map(({ kind }) => kind),
      [optionReply.errShutdown, optionReply.errShutdown],
    )
  }
  t.equal(greeted.length, 0)
  const ends = [once(early, 'close'), once(comer, 'close')]
  listener.close()
  await Promise.all(ends)
})

t.test('a service that is not open, and is told to refuse, takes nobody', async (t) => {
  const { listener, dial, port } = service(t)
  listener.standBy()
  const held = await dial()
  hear(held)
  const dropped = once(held, 'close')
  listener.refuse()
  await dropped
  const [error] = await once(connect({ port, host: '127.0.0.1' }), 'error')
  t.match(error, { code: 'ECONNREFUSED' })
})
