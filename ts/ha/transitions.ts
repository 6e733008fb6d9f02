import { assert } from '../base/assert.ts'

/** What an engine is, as to ownership of its aggregate. docs/ha.md draws this table. */
export const states = [
  'starting',
  'unowned',
  'waiting',
  'keeper',
  'taking-over',
  'opening',
  'announcing',
  'pairing',
  'serving-solo',
  'syncing',
  'joining',
  'serving-mirrored',
  'parting',
  'giving',
  'handing',
  'stopping',
  'releasing',
  'withdrawing',
  'fenced',
  'stopped',
] as const

export type State = (typeof states)[number]

export const events = [
  'no record',
  'must wait',
  'partner owns',
  'claim',
  'claimed',
  'claim lost',
  'opened',
  'open failed',
  'announced',
  'link up',
  'link down',
  'partner complete',
  'in sync',
  'parted',
  'hand over',
  'quiesced',
  'quiesce failed',
  'handed over',
  'stop',
  'released',
  'lease lost',
  'rejoin',
] as const

export type Event = (typeof events)[number]

interface Row {
  readonly moves: { readonly [event in Event]?: State }
  /** may occur here and change nothing; what is in neither list cannot occur: an assertion */
  readonly ignores: readonly Event[]
}

/** The engine may have these on their way when the state has already changed. */
const late: readonly Event[] = ['opened', 'open failed', 'quiesced', 'quiesce failed', 'partner complete']
const link: readonly Event[] = ['link up', 'link down']

/** Without a lease: the record alone decides what comes next. */
const looking: Row = {
  moves: {
    'no record': 'unowned',
    'must wait': 'waiting',
    'partner owns': 'keeper',
    claim: 'taking-over',
    stop: 'stopped',
  },
  ignores: [...late, ...link],
}

export const transitions: { readonly [state in State]: Row } = {
  starting: looking,
  unowned: looking,
  waiting: looking,
  keeper: looking,
  'taking-over': {
    moves: { claimed: 'opening', 'claim lost': 'starting', stop: 'releasing' },
    ignores: [...late, ...link],
  },
  opening: {
    moves: {
      opened: 'announcing',
      'open failed': 'withdrawing',
      'lease lost': 'fenced',
      stop: 'releasing',
    },
    ignores: ['quiesced', 'quiesce failed', 'partner complete', ...link],
  },
  announcing: {
    moves: {
      announced: 'serving-solo',
      'partner complete': 'pairing',
      'lease lost': 'fenced',
      stop: 'releasing',
    },
    ignores: ['opened', 'open failed', 'quiesced', 'quiesce failed', ...link],
  },
  pairing: {
    moves: {
      'in sync': 'serving-mirrored',
      'link down': 'announcing',
      'lease lost': 'fenced',
      stop: 'releasing',
    },
    ignores: [...late, 'link up'],
  },
  'serving-solo': {
    moves: { 'link up': 'syncing', 'lease lost': 'fenced', stop: 'stopping' },
    ignores: [...late, 'link down'],
  },
  syncing: {
    moves: {
      'partner complete': 'joining',
      'link down': 'serving-solo',
      'lease lost': 'fenced',
      stop: 'stopping',
    },
    ignores: ['opened', 'open failed', 'quiesced', 'quiesce failed', 'link up'],
  },
  joining: {
    moves: {
      'in sync': 'serving-mirrored',
      'link down': 'parting',
      'lease lost': 'fenced',
      stop: 'stopping',
    },
    ignores: [...late, 'link up'],
  },
  'serving-mirrored': {
    moves: { 'link down': 'parting', 'hand over': 'giving', 'lease lost': 'fenced', stop: 'stopping' },
    ignores: [...late, 'link up'],
  },
  parting: {
    moves: { parted: 'serving-solo', 'lease lost': 'fenced', stop: 'stopping' },
    ignores: [...late, ...link],
  },
  giving: {
    moves: {
      quiesced: 'handing',
      'quiesce failed': 'serving-mirrored',
      'link down': 'parting',
      'lease lost': 'fenced',
    },
    ignores: ['opened', 'open failed', 'partner complete', 'link up', 'stop'],
  },
  handing: {
    moves: { 'handed over': 'keeper', 'lease lost': 'fenced' },
    ignores: [...late, ...link, 'stop'],
  },
  stopping: {
    moves: { quiesced: 'releasing', 'quiesce failed': 'releasing', 'lease lost': 'fenced' },
    ignores: ['opened', 'open failed', 'partner complete', ...link, 'stop'],
  },
  releasing: {
    moves: { released: 'stopped' },
    ignores: [...late, ...link, 'stop'],
  },
  withdrawing: {
    moves: { released: 'waiting', stop: 'releasing' },
    ignores: [...late, ...link],
  },
  fenced: {
    moves: { rejoin: 'starting', stop: 'stopped' },
    ignores: [...late, ...link],
  },
  stopped: {
    moves: {},
    ignores: [...late, ...link, 'stop', 'rejoin'],
  },
}

/** Where an event leads, or undefined if it changes nothing. */
export function nextState(state: State, event: Event): State | undefined {
  const row = transitions[state]
  const next = row.moves[event]
  assert(next !== undefined || row.ignores.includes(event), `"${event}" cannot occur while ${state}`)
  return next
}

const serving: ReadonlySet<State> = new Set<State>([
  'serving-solo',
  'syncing',
  'joining',
  'serving-mirrored',
  'parting',
])

const finishing: ReadonlySet<State> = new Set<State>(['giving', 'stopping'])
const leaving: ReadonlySet<State> = new Set<State>(['handing', 'releasing', 'withdrawing'])
const opening: ReadonlySet<State> = new Set<State>(['opening', 'announcing', 'pairing'])

/** Whether clients are served, as long as the lease is live. */
export const serves = (state: State): boolean => serving.has(state)

/** Whether requests may still be answered: while it serves, and those in flight while it quiesces. */
export const answersRequests = (state: State): boolean => serving.has(state) || finishing.has(state)

/** Whether the image may be written: it is owner, and does not give its lease up. */
export const mayWrite = (state: State): boolean => answersRequests(state) || opening.has(state)

/** Whether it is owner with a lease of its own that has to be renewed and may end. */
export const holdsLease = (state: State): boolean => mayWrite(state) || leaving.has(state)

/** Whether it gives its lease up, and waits for the arbiter to know. */
export const releases = (state: State): boolean => state === 'releasing' || state === 'withdrawing'

/** Whether it is on its way to serving. */
export const enters = (state: State): boolean => state === 'taking-over' || opening.has(state)

/** Whether it lives without a lease and acts on what it reads in the record. */
export const looks = (state: State): boolean => transitions[state] === looking
