import type { Workload } from './explore.ts'
import type { Operator } from './operations.ts'

/** Most blocks of the disk: what is left is swept over again and again. */
const BALLAST_BLOCKS = 1260
const PIECE_BLOCKS = 60
const PIECES = BALLAST_BLOCKS / PIECE_BLOCKS
/** Pieces in an order that leaves free space in between: 8 has no factor in common with their number. */
const piece = (round: number): number => ((round * 8) % PIECES) * PIECE_BLOCKS

function times(count: number, run: (round: number) => void): void {
  for (let round = 0; round < count; round += 1) run(round)
}

const point = (operator: Operator): void => operator.run('consistency point')

function overwritePiece(operator: Operator, round: number): void {
  operator.writeBlocks(piece(round), PIECE_BLOCKS)
  point(operator)
}

/** Longer than the sequences, for what these do not come to. */
export const workloads: readonly Workload[] = [
  {
    name: 'a disk that is almost full',
    before: (operator) => {
      operator.create(BALLAST_BLOCKS)
      times(PIECES, (round) => {
        operator.writeBlocks(round * PIECE_BLOCKS, PIECE_BLOCKS)
        if (round % 3 === 2) point(operator)
      })
      times(12, (round) => overwritePiece(operator, round))
    },
    during: (operator) => times(5, (round) => overwritePiece(operator, 12 + round)),
  },
  {
    name: 'a log that wraps while a consistency point runs',
    before: (operator) => {
      operator.create(512)
      times(3, (round) => operator.writeBlocks(round * 64, 64))
    },
    during: (operator) => times(5, (round) => operator.writeBlocks(round * 64, 64)),
  },
  {
    name: 'ownership that goes to and fro',
    before: (operator) => times(3, () => operator.run('create')),
    during: (operator) =>
      times(3, () => {
        for (const operation of ['write', 'takeover', 'overwrite', 'trim', 'giveback', 'zeroes'] as const)
          operator.run(operation)
      }),
  },
  {
    name: 'volumes that come and go',
    before: (operator) => operator.run('create'),
    during: (operator) =>
      times(3, () => {
        for (const operation of [
          'create',
          'write',
          'resize',
          'overwrite',
          'resize',
          'consistency point',
        ] as const)
          operator.run(operation)
        for (const operation of ['delete', 'write', 'resize', 'consistency point'] as const)
          operator.run(operation)
      }),
  },
]
