import type { beginnings } from './pair.ts'
import { type Budget, noFaults } from './state.ts'

export interface Scenario {
  readonly name: string
  readonly begin: keyof typeof beginnings
  /** for every run of the tests, and for `npm run model -- full` */
  readonly quick: Budget
  readonly full: Budget
}

const budget = (faults: Partial<Budget>): Budget => ({ ...noFaults, ...faults })

/** Each explores everything that so many faults of these sorts can lead to, in any order, at any moment. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'start',
    begin: 'cold',
    quick: budget({}),
    full: budget({ crashes: 1, writes: 1, points: 1 }),
  },
  {
    name: 'crash',
    begin: 'mirrored',
    quick: budget({ crashes: 1 }),
    full: budget({ crashes: 2 }),
  },
  {
    name: 'cut',
    begin: 'mirrored',
    quick: budget({ cuts: 1, writes: 1 }),
    full: budget({ cuts: 1, crashes: 1, writes: 1, points: 1 }),
  },
  {
    name: 'late',
    begin: 'mirrored',
    quick: budget({ lateAnswers: 1 }),
    full: budget({ lateAnswers: 2 }),
  },
  {
    name: 'alone',
    begin: 'alone',
    quick: budget({ crashes: 1 }),
    full: budget({ crashes: 2 }),
  },
  {
    name: 'rejoin',
    begin: 'syncing',
    quick: budget({ lateAnswers: 1 }),
    full: budget({ lateAnswers: 1, cuts: 1 }),
  },
  {
    name: 'pause',
    begin: 'mirrored',
    quick: budget({ pauses: 1 }),
    full: budget({ pauses: 1, cuts: 1, writes: 1 }),
  },
  {
    // the margins of a lease allow for two steps between the clocks, and not for three
    name: 'drift',
    begin: 'mirrored',
    quick: budget({ drifts: 2, pauses: 1 }),
    full: budget({ drifts: 2, pauses: 1, lateAnswers: 1 }),
  },
  {
    name: 'lost',
    begin: 'mirrored',
    quick: budget({ lostRings: 1 }),
    full: budget({ lostRings: 1, crashes: 1 }),
  },
  {
    name: 'handover',
    begin: 'mirrored',
    quick: budget({ handovers: 1 }),
    full: budget({ handovers: 1, crashes: 1, writes: 1 }),
  },
  {
    name: 'stop',
    begin: 'mirrored',
    quick: budget({ stops: 1 }),
    full: budget({ stops: 1, crashes: 1 }),
  },
  {
    name: 'stop alone',
    begin: 'alone',
    quick: budget({ stops: 1 }),
    full: budget({ stops: 1, cuts: 1 }),
  },
  {
    name: 'opening',
    begin: 'mirrored',
    quick: budget({ crashes: 1, failedOpenings: 1 }),
    full: budget({ crashes: 1, failedOpenings: 2 }),
  },
  {
    name: 'open anew',
    begin: 'mirrored',
    quick: budget({ reopenings: 1 }),
    full: budget({ reopenings: 1, crashes: 1, writes: 1, lateAnswers: 1 }),
  },
  {
    name: 'open anew, and stop',
    begin: 'mirrored',
    quick: budget({ reopenings: 1, stops: 1 }),
    full: budget({ reopenings: 1, stops: 1, cuts: 1 }),
  },
  {
    name: 'open anew, and a plex',
    begin: 'mirrored',
    quick: budget({ reopenings: 1, lostPlexes: 1 }),
    full: budget({ reopenings: 1, lostPlexes: 1, foundPlexes: 1, writes: 1, points: 1, lateAnswers: 1 }),
  },
  {
    name: 'plex',
    begin: 'mirrored',
    quick: budget({ lostPlexes: 1, foundPlexes: 1, points: 1, writes: 1 }),
    full: budget({ lostPlexes: 2, foundPlexes: 1, points: 1, lateAnswers: 1 }),
  },
  {
    name: 'plex in doubt',
    begin: 'doubtful',
    quick: budget({ lateAnswers: 1 }),
    full: budget({ lateAnswers: 1, foundPlexes: 1, points: 1, writes: 1 }),
  },
  {
    name: 'branch',
    begin: 'behind',
    quick: budget({ branches: 1 }),
    full: budget({ branches: 1, crashes: 1, writes: 1, points: 1, labels: 1 }),
  },
]
