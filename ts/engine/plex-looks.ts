import { StoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import type { FoundPlex } from '../ha/facts.ts'
import type { World } from '../ports/world.ts'
import { wholeImage } from '../volume/whole-image.ts'

/** Looks at the plexes on the disks of this node, for an operator who would go on from any of them. */
export class PlexLooks {
  #look: Procedure | undefined

  /** Throws NOT_READY while another one is under way. */
  begin(world: World, settings: EngineSettings, done: (found: FoundPlex[]) => void): void {
    if (this.#look !== undefined)
      throw new StoreError('NOT_READY', 'its disks are being looked at; try again')
    this.#look = look(world, settings, done)
  }

  /** Called once per turn. Returns whether there is more to do at once. */
  step(): boolean {
    if (this.#look === undefined) return false
    const { done, value } = this.#look.next()
    if (done === true) this.#look = undefined
    return done === true || value === 'again'
  }
}

function* look(
  world: World,
  { pair, aggregate }: EngineSettings,
  done: (found: FoundPlex[]) => void,
): Procedure {
  const found: FoundPlex[] = []
  for (const [plex, place] of aggregate.plexes.entries()) {
    if (place === 'partner') continue
    try {
      const whose = { pair, aggregate: aggregate.identity }
      const { epoch, generation, writtenAtMs } = yield* wholeImage(world, plex, place, whose)
      found.push({ plex, epoch, generation, writtenAtMs })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      found.push({ plex, lack: error.message })
    }
  }
  done(found)
}
