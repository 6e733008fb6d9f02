import t from 'tap'
import { decodeInfoRequest, decodeName } from '../../../ts/nbd/option-request.ts'
import { encodeInfoData } from '../../support/nbd-wire.ts'

t.test('a name is decoded from wherever its bytes lie', async (t) => {
  const around = Buffer.concat([Buffer.from('xx'), encodeInfoData('größe', [1, 3, 3]), Buffer.from('yy')])
  const request = decodeInfoRequest(new Uint8Array(around.buffer, around.byteOffset + 2, around.length - 4))
  t.same(request, { name: 'größe', wanted: new Set([1, 3]) })
})

t.test('mistakes in names are told apart', async (t) => {
  t.match(decodeName(Buffer.alloc(4097, 'a')), { mistake: /4097 bytes/ })
  t.match(decodeName(Buffer.from('a\0b')), { mistake: /NUL/ })
  t.match(decodeName(Buffer.from([0x80])), { mistake: /UTF-8/ })
  t.same(decodeName(Buffer.alloc(4096, 'a')), { name: 'a'.repeat(4096) })
  t.same(decodeName(new Uint8Array(0)), { name: '' })
})
