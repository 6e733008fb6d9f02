import { randomFillSync } from 'node:crypto'
import type { Entropy } from '../ports/entropy.ts'

export const systemEntropy: Entropy = {
  fill: (bytes) => {
    randomFillSync(bytes)
  },
}
