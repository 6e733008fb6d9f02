/**
 * A decoder with a bug behind nested conditions, for the fuzzer to prove itself: none of the bytes that it
 * takes stands in the source as it stands in the input.
 */
export function decodePlanted(bytes: Uint8Array): string {
  if (bytes.length < 8) return 'too short'
  if ((bytes[0]! ^ 0x5a) !== 0x11) return 'another magic'
  if ((bytes[1]! + 3) % 256 !== 0x42) return 'another version'
  if (bytes[2]! !== (bytes[0]! & 0x0f)) return 'another kind'
  if (bytes[3]! + bytes[4]! !== 0x0c7) return 'another sum'
  if (bytes.length < 20) return 'too little'
  throw new RangeError('the planted bug')
}
