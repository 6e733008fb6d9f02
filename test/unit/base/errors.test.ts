import t from 'tap'
import { type ErrorCode, errorCodes, isStoreError, StoreError } from '../../../ts/base/errors.ts'

/** What NBD allows on the wire, and ENOENT and the like that only a handshake maps. */
const errnos = new Set([1, 2, 5, 12, 22, 28, 75, 95, 108])

t.test('every expected failure has a number for clients and a summary', async (t) => {
  for (const [code, { nbd, summary }] of Object.entries(errorCodes)) {
    t.ok(errnos.has(nbd), `${code} has the error number ${nbd}`)
    t.match(summary, /^[a-zA-Z`].{10,}[^.]$/, code)
    t.equal(new StoreError(code as ErrorCode, 'x').nbdError, nbd)
  }
})

t.test('a failure keeps its code and its cause', async (t) => {
  const cause = new Error('errno 5')
  const error = new StoreError('DISK_FAILED', 'disk d0 failed; replace it', { cause })
  t.match(error, { name: 'StoreError', code: 'DISK_FAILED', message: 'disk d0 failed; replace it', cause })
  t.ok(isStoreError(error) && isStoreError(error, 'DISK_FAILED'))
  t.notOk(isStoreError(error, 'DISK_BUSY'))
  t.notOk(isStoreError(cause) || isStoreError({ code: 'DISK_FAILED' }))
})
