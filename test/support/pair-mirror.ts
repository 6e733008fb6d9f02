import { statSync, truncateSync } from 'node:fs'
import type { Test } from 'tap'
import type { PlexStatus } from '../../ts/node/messages.ts'
import type { Pair } from './pair.ts'
import { mustPollux, mustRun, run, until } from './program.ts'

/** Gives each aggregate of a pair that is down a second plex: files like its disks, labelled and empty. */
export async function addMirrors(pair: Pair): Promise<void> {
  const mirrorOf = (disk: string) => `${disk}.mirror`
  pair.edit((file) => {
    for (const aggregate of file.aggregate) aggregate.mirror = pair.disks(aggregate.name).map(mirrorOf)
  })
  for (const { name, disks } of pair.config('castor').file.aggregate) {
    for (const disk of disks) await mustRun('truncate', ['-r', disk, mirrorOf(disk)])
    await labelPlex(pair, name, 1)
  }
}

export async function labelPlex(pair: Pair, aggregate: string, plex: number): Promise<void> {
  const { path } = pair.config('castor')
  const plexOf = ['--config', path, '--aggregate', aggregate, '--plex', String(plex)]
  await mustPollux(['disk', 'label', ...pair.plex(aggregate, plex), ...plexOf])
}

/** What the owner of an aggregate says of one of its plexes; undefined if nobody serves it. */
export async function plexStatus(
  pair: Pair,
  aggregate: string,
  plex: number,
): Promise<PlexStatus | undefined> {
  for (const node of ['castor', 'pollux'] as const) {
    const engine = await pair.engine(node, aggregate).catch(() => undefined)
    if (engine?.serves) return engine.plexes?.[plex]
  }
  return undefined
}

/** Waits until the owner and the arbiter's record say so of a plex. */
export async function plexIs(
  pair: Pair,
  plex: number,
  state: PlexStatus['state'],
  aggregate = 'castor',
  timeoutMs = 15_000,
): Promise<PlexStatus> {
  const recorded = state === 'in-sync' ? 'in-sync' : 'stale'
  return until(
    `plex ${plex} of ${aggregate} is ${state}`,
    async () => {
      const found = await plexStatus(pair, aggregate, plex)
      return found?.state === state && found.recorded === recorded && found
    },
    timeoutMs,
  )
}

/** A disk file as a block device that can be pulled out: then all I/O fails, as on a device that is gone. */
export class LoopDisk {
  readonly device: string
  readonly #file: string
  readonly #byteLength: number

  private constructor(file: string, device: string) {
    this.#file = file
    this.device = device
    this.#byteLength = statSync(file).size
  }

  static async over(t: Test, file: string): Promise<LoopDisk> {
    const { stdout } = await mustRun('losetup', ['--find', '--show', '--direct-io=on', file])
    const device = stdout.trim()
    t.teardown(() => run('losetup', ['--detach', device]))
    return new LoopDisk(file, device)
  }

  pull(): Promise<unknown> {
    return this.#resize(0)
  }

  /** After it has been pulled out: a blank one of the same size, in the same place. */
  putInBlank(): Promise<unknown> {
    return this.#resize(this.#byteLength)
  }

  #resize(byteLength: number): Promise<unknown> {
    truncateSync(this.#file, byteLength)
    return mustRun('losetup', ['--set-capacity', this.device])
  }
}
