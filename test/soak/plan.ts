import type { Random } from '../sim/random.ts'
import { type NodeName, nodeNames } from '../support/pair.ts'

export type FaultKind =
  | 'kill'
  | 'stop'
  | 'link'
  | 'path'
  | 'cut off'
  | 'disk'
  | 'arbiter'
  | 'command'
  | 'connections'

/** One fault of the plan. Times are milliseconds since the episode began. */
export interface Fault {
  readonly atMs: number
  readonly durationMs: number
  readonly kind: FaultKind
  /** nodes, or what is at home there: its disk, its clients */
  readonly targets: readonly NodeName[]
  /** which variety; empty: there is only one */
  readonly how: string
}

/** What this machine lets us do to the pair. */
export interface Means {
  readonly network: boolean
  readonly disks: boolean
}

interface Variety {
  readonly kind: FaultKind
  readonly weight: number
  readonly hows: readonly string[]
  readonly durationMs: readonly [least: number, most: number]
  /** how often both nodes are hit at once */
  readonly both: number
  readonly needs?: keyof Means
}

const varieties: readonly Variety[] = [
  { kind: 'kill', weight: 5, hows: [''], durationMs: [0, 3000], both: 0.25 },
  { kind: 'stop', weight: 4, hows: [''], durationMs: [1000, 15_000], both: 0.15 },
  {
    kind: 'link',
    weight: 4,
    hows: ['down', 'silent', 'lost from castor', 'lost from pollux', 'slow'],
    durationMs: [300, 8000],
    both: 1,
    needs: 'network',
  },
  {
    kind: 'path',
    weight: 3,
    hows: ['down', 'silent', 'requests lost', 'replies lost', 'slow'],
    durationMs: [300, 8000],
    both: 0.2,
    needs: 'network',
  },
  { kind: 'cut off', weight: 2, hows: [''], durationMs: [500, 8000], both: 0, needs: 'network' },
  {
    kind: 'disk',
    weight: 5,
    hows: ['read errors', 'write errors', 'errors', 'flickering', 'slow', 'stuck'],
    durationMs: [200, 7000],
    both: 0.15,
    needs: 'disks',
  },
  { kind: 'arbiter', weight: 2, hows: [''], durationMs: [300, 6000], both: 0.4 },
  {
    kind: 'command',
    weight: 4,
    hows: ['takeover', 'giveback', 'cp now', 'cp hold'],
    durationMs: [300, 4000],
    both: 0,
  },
  { kind: 'connections', weight: 2, hows: [''], durationMs: [0, 0], both: 0.3 },
]

/** What a fault occupies: two faults of the same thing do not overlap. */
function places({ kind, targets, how }: Omit<Fault, 'atMs' | 'durationMs'>): string[] {
  if (kind === 'kill' || kind === 'stop') return targets.map((target) => `process ${target}`)
  if (kind === 'link') return ['link']
  if (kind === 'cut off') return ['link', ...targets.map((target) => `path ${target}`)]
  if (kind === 'connections' || (kind === 'command' && how !== 'cp hold')) return []
  return targets.map((target) => `${kind} ${target}`)
}

/**
 * The faults of one episode, all from the generator. As in the simulator each episode has some of the kinds
 * only, each with a weight of its own: all at once would never get far.
 */
export function planEpisode(random: Random, lengthMs: number, means: Means): Fault[] {
  const chosen = chooseKinds(random, means)
  const rateMs = random.between(400, 2500)
  const busyUntil = new Map<string, number>()
  const plan: Fault[] = []
  for (let atMs = random.between(300, 1500); atMs < lengthMs; atMs += random.between(0, 2 * rateMs)) {
    const fault = drawFault(random, chosen, atMs, lengthMs)
    const taken = places(fault)
    if (taken.some((place) => (busyUntil.get(place) ?? 0) > atMs)) continue
    // a moment of grace, so that the end of one fault is over before the next one begins
    for (const place of taken) busyUntil.set(place, atMs + fault.durationMs + 200)
    plan.push(fault)
  }
  return plan
}

function chooseKinds(random: Random, means: Means): { variety: Variety; weight: number }[] {
  const possible = varieties.filter(({ needs }) => needs === undefined || means[needs])
  const some = possible.filter(() => random.chance(0.6))
  const used = some.length > 0 ? some : possible
  return used.map((variety) => ({ variety, weight: variety.weight * random.between(0.3, 1.5) }))
}

function drawFault(
  random: Random,
  chosen: readonly { variety: Variety; weight: number }[],
  atMs: number,
  lengthMs: number,
): Fault {
  const total = chosen.reduce((sum, { weight }) => sum + weight, 0)
  let dice = random.between(0, total)
  const found = chosen.find(({ weight }) => {
    dice -= weight
    return dice < 0
  })
  const { kind, hows, both, durationMs } = (found ?? chosen[0]!).variety
  const [least, most] = durationMs
  const longest = random.chance(0.7) ? least + (most - least) / 3 : most
  const length = Math.round(random.between(least, longest))
  const targets = random.chance(both) ? nodeNames : [random.pick(nodeNames)]
  return {
    atMs: Math.round(atMs),
    durationMs: Math.min(length, Math.max(0, Math.round(lengthMs - atMs))),
    kind,
    targets,
    how: random.pick(hows),
  }
}

export function faultText({ kind, targets, how, durationMs }: Fault): string {
  const whose = kind === 'link' ? '' : ` ${targets.join(' and ')}`
  const lasting = durationMs > 0 ? ` for ${durationMs} ms` : ''
  return `${kind}${whose}${how === '' ? '' : `: ${how}`}${lasting}`
}
