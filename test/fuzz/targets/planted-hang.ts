import type { Target } from '../target.ts'

/** One of the first inputs goes on for ever. */
export const target: Target = {
  name: 'planted-hang',
  byteLengthMax: 8,
  seeds: () => [new Uint8Array(8)],
  run(input) {
    for (let at = 0; at < input.length; ) if (input[at] !== 1) at += 1
  },
}
