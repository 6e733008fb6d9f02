/** 16 random bytes that name a pair, an aggregate, a disk, a boot or an incarnation of a log ring. */
export const IDENTITY_BYTES = 16

export function identityText(identity: Uint8Array): string {
  const hex = Array.from(identity, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function identityFromText(textForm: string): Uint8Array | undefined {
  const hex = textForm.replaceAll('-', '')
  if (!/^[0-9a-f]{32}$/.test(hex)) return undefined
  return Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16))
}

export function sameIdentity(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
