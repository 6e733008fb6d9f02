import { decodeContextRequest, decodeInfoRequest } from '../../../ts/nbd/option-request.ts'
import { encodeContextData, encodeInfoData } from '../../support/nbd-wire.ts'
import { must, mustEqual, type Target } from '../target.ts'

/** The first byte says which option, the rest is its data. */
export const target: Target = {
  name: 'options',
  byteLengthMax: 6000,
  seeds: () => [
    seed(0, encodeInfoData('export', [0, 1, 2, 3])),
    seed(0, encodeInfoData('a'.repeat(4096))),
    seed(1, encodeContextData('export', ['base:', 'base:allocation', 'qemu:allocation-depth'])),
    seed(1, encodeContextData('', [])),
  ],
  run(input) {
    const data = input.subarray(1)
    if (((input[0] ?? 0) & 1) === 0) infoRequest(data)
    else contextRequest(data)
  },
}

const seed = (kind: number, data: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.concat([Buffer.of(kind), data]))

function infoRequest(data: Uint8Array): void {
  const request = decodeInfoRequest(data)
  if ('mistake' in request) return must(request.mistake !== '', 'a mistake has words')
  mustBeName(request.name)
  const again = decodeInfoRequest(new Uint8Array(encodeInfoData(request.name, [...request.wanted])))
  must(!('mistake' in again), 'what was understood can be said again')
  if ('mistake' in again) return
  mustEqual('the name', again.name, request.name)
  mustEqual('the wishes', [...again.wanted], [...request.wanted])
}

function contextRequest(data: Uint8Array): void {
  const request = decodeContextRequest(data)
  if ('mistake' in request) return must(request.mistake !== '', 'a mistake has words')
  for (const text of [request.name, ...request.queries]) mustBeName(text)
  const again = encodeContextData(request.name, request.queries)
  must(again.equals(data), 'every byte of it was understood')
}

function mustBeName(name: string): void {
  must(!name.includes('\0') && Buffer.byteLength(name) <= 4096, 'no name is too long or has a NUL')
}
