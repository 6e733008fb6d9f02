import { decodePlanted } from '../planted.ts'
import type { Target } from '../target.ts'

export const target: Target = {
  name: 'planted',
  byteLengthMax: 64,
  seeds: () => [new Uint8Array(16)],
  run: (input) => void decodePlanted(input),
}
