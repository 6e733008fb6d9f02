/** 16 random bytes that name a pair, an aggregate, a disk, a boot or an incarnation of a log ring. */
export const IDENTITY_BYTES = 16

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function identityText(identity: Uint8Array): string {
  let hex = ''
  for (let at = 0; at < identity.length; at += 1) hex += hexOfByte[identity[at]!]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function identityFromText(textForm: string): Uint8Array | undefined {
  const hex = textForm.replaceAll('-', '')
  if (!/^[0-9a-f]{32}$/.test(hex)) return undefined
  const identity = new Uint8Array(IDENTITY_BYTES)
  for (let at = 0; at < IDENTITY_BYTES; at += 1)
    identity[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16)
  return identity
}

export function sameIdentity(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
