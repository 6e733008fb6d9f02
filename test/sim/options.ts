import { KIB, MIB } from '../../ts/base/units.ts'
import type { ClientHabits } from './client.ts'
import { faultNames, plexFaultNames } from './faults.ts'
import { Random } from './random.ts'
import type { WorldOptions } from './world.ts'

/** What one seed draws: the sort of world, how busy it is, and what goes wrong in it and how often. */
export interface SeedOptions {
  readonly world: WorldOptions
  /** how long faults go on, in simulated milliseconds */
  readonly faultMs: number
  readonly faultEveryMs: number
  readonly faultLengthMs: number
  readonly faultsAtOnceMax: number
  /** the faults of this seed, with their weights ("swarm testing": each seed has a few of all) */
  readonly faults: ReadonlyMap<string, number>
  readonly clientsPerVolume: number
  readonly habits: Partial<ClientHabits>
  readonly volumeByteLength: number
  readonly elasticByteLength: number
  readonly managementEveryMs: number
  /** how much faster one node's clock goes than the other's */
  readonly clockDrift: number
  readonly arbiterKnowsProcesses: boolean
  /** at the very end a disk lies about flushes, and then all power is lost */
  readonly endsWithLies: boolean
}

/** What takes contents of a disk, and what makes a plex fall out of sync. */
const LOSING = [
  'blocks cannot be read',
  'writes of data are lost',
  'writes of data go elsewhere',
  'a block of data rots',
]
const DROPPING = ['writes fail', 'flushes fail']

export function drawOptions(seed: number, faultMs?: number): SeedOptions {
  // a stream of its own: what is drawn here does not depend on what a world consumes
  const random = new Random(seed ^ 0x5eed)
  const isTight = random.chance(0.1)
  const options: SeedOptions = {
    world: {
      durability: random.pick(['pair', 'vault', 'vault', 'nvram'] as const),
      logPages: 256,
      diskByteLength: isTight ? 12 * MIB : 18 * MIB,
      aggregateCount: random.chance(0.75) ? 2 : 1,
      cpIntervalMs: random.pick([200, 500, 1000, 2000]),
      cpFillMark: random.pick([0.2, 0.4, 0.6]),
      isTight,
      ...drawScrubs(seed),
      addsDisks: !isTight && new Random(seed ^ 0xadd15c).chance(0.25),
    },
    faultMs: faultMs ?? 12_000,
    faultEveryMs: random.pick([300, 600, 1200]),
    faultLengthMs: random.pick([100, 500, 1500]),
    faultsAtOnceMax: random.pick([1, 2, 3, 5]),
    faults: drawFaults(random),
    clientsPerVolume: random.pick([1, 2, 2, 3]),
    habits: {
      thinkMs: random.pick([40, 80, 160]),
      inFlightMax: random.pick([1, 4, 16]),
      writes: random.pick([0.4, 0.65, 0.9]),
    },
    volumeByteLength: isTight ? 6 * MIB : random.pick([128 * KIB, 512 * KIB, MIB]),
    elasticByteLength: 512 * KIB,
    managementEveryMs: random.pick([400, 800, 1600]),
    clockDrift: random.chance(0.5) ? random.between(-0.05, 0.05) : 0,
    arbiterKnowsProcesses: random.chance(0.6),
    endsWithLies: random.chance(0.15),
  }
  return isTight ? options : withMirror(seed, options)
}

/**
 * In a part of the worlds, each aggregate has two plexes. There, either these fall out of sync and come
 * back; or no write ever fails, one disk of each aggregate loses anything, and all of that has to be healed.
 */
function withMirror(seed: number, options: SeedOptions): SeedOptions {
  const random = new Random(seed ^ 0x3177)
  if (!random.chance(0.4)) return options
  const provesHealing = random.chance(0.5)
  const faults = new Map(options.faults)
  for (const name of provesHealing ? LOSING : plexFaultNames) {
    if (random.chance(0.6)) faults.set(name, random.pick([1, 2, 4]))
  }
  if (provesHealing) for (const name of DROPPING) faults.delete(name)
  // a plex on the other host falls out of sync with every link that goes down
  const isApart = !provesHealing && random.chance(0.6)
  return { ...options, faults, world: { ...options.world, isMirrored: true, provesHealing, isApart } }
}

/** Scrubs go on all the time in some worlds, slowly enough that consistency points overtake them. */
function drawScrubs(seed: number): Pick<WorldOptions, 'scrubIntervalMs' | 'scrubByteRate'> {
  const random = new Random(seed ^ 0x5c12b)
  return {
    scrubIntervalMs: random.pick([0, 200, 2000]),
    scrubByteRate: random.pick([MIB / 2, 4 * MIB, 64 * MIB]),
  }
}

/** Each fault is in about every third seed; processes end in most, since that is what a pair is for. */
function drawFaults(random: Random): Map<string, number> {
  const drawn = new Map<string, number>()
  for (const name of faultNames) {
    if (random.chance(0.35)) drawn.set(name, random.pick([1, 1, 2, 4]))
  }
  if (random.chance(0.8)) drawn.set('kill the owner', 3)
  return drawn
}
