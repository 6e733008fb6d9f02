import t from 'tap'
import { type ErrorCode, errorCodes, StoreError } from '../../../ts/base/errors.ts'
import { endsSession, nbdErrorOf, REFUSAL_TEXT_BYTE_LENGTH_MAX, refusals } from '../../../ts/nbd/errors.ts'

const allowed = [1, 5, 12, 22, 28, 75, 95, 108]

t.test('no failure of ours becomes an error that the protocol does not know', async (t) => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    t.ok(allowed.includes(nbdErrorOf(new StoreError(code, 'x'))), code)
  }
  for (let errno = -200; errno <= 200; errno += 1) {
    if (!allowed.includes(nbdErrorOf(errno))) t.fail(`errno ${errno}`)
  }
})

t.test('errors keep their meaning', async (t) => {
  t.equal(nbdErrorOf(new StoreError('SPACE_EXHAUSTED', 'x')), 28)
  t.equal(nbdErrorOf(new StoreError('READ_FAILED', 'x')), 5)
  t.equal(nbdErrorOf(new StoreError('VOLUME_UNKNOWN', 'x')), 5)
  t.equal(nbdErrorOf(-28), 28)
  t.equal(nbdErrorOf(-122), 28, 'EDQUOT')
  t.equal(nbdErrorOf(-27), 28, 'EFBIG')
  t.equal(nbdErrorOf(-30), 1, 'EROFS')
  t.equal(nbdErrorOf(-5), 5)
  t.equal(nbdErrorOf(-110), 5, 'what has no number of its own')
})

t.test('loss of ownership is not for the client to hear', async (t) => {
  for (const code of ['FENCED', 'NOT_OWNER', 'NOT_READY', 'STOPPING'] as const) {
    t.equal(endsSession(nbdErrorOf(new StoreError(code, 'x'))), true, code)
  }
  t.equal(endsSession(nbdErrorOf(new StoreError('SPACE_EXHAUSTED', 'x'))), false)
})

t.test(
  'every refusal is an error of the protocol with a text that fits the room reserved for it',
  async (t) => {
    for (const [name, { error, text }] of Object.entries(refusals)) {
      t.ok(allowed.includes(error), name)
      t.ok(text.length > 0 && text.length <= REFUSAL_TEXT_BYTE_LENGTH_MAX, name)
    }
  },
)
