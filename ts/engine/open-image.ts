import { isStoreError } from '../base/errors.ts'
import type { Procedure } from '../base/procedure.ts'
import { Image } from '../volume/image.ts'
import { openDisks, type PlexDisks } from '../volume/open-plexes.ts'
import type { OwnerParts } from './owner.ts'

/** How long an opening waits for the link to a plex that it cannot do without. */
const REMOTE_WAIT_MS = 3000

/**
 * The partner's plex joins later, as a plex that comes back does; but if the image cannot be opened without
 * it, and the record calls it in sync, it is opened with it.
 */
export function* openImage(parts: OwnerParts): Procedure<Image> {
  const image = yield* openAsNeeded(parts)
  image.copies.isRecordedStale = parts.plexes.isStale
  image.copies.isRemoteAway = parts.isRemoteAway
  for (const [plex, place] of parts.settings.aggregate.plexes.entries())
    if (place === 'partner') image.copies.setRemote(plex)
  return image
}

function* openAsNeeded(parts: OwnerParts): Procedure<Image> {
  const { settings, plexes } = parts
  try {
    return yield* openWith(parts)
  } catch (error) {
    const remote = settings.aggregate.plexes.indexOf('partner')
    if (!isStoreError(error) || plexes.recorded[remote] !== 'in-sync' || !parts.stillOwner()) throw error
    return yield* openWith(parts, true)
  }
}

function* openWith(
  { world, settings, epoch, plexes, openRemote, stillOwner }: OwnerParts,
  needsRemote = false,
): Procedure<Image> {
  const untilMs = world.clock.now() + REMOTE_WAIT_MS
  const mayWait = (): boolean => stillOwner() && world.clock.now() < untilMs
  const opened: PlexDisks[] = []
  // disks of this host are open for as short as possible before they are read
  const remote = needsRemote ? yield* openRemote(mayWait) : undefined
  for (const place of settings.aggregate.plexes)
    opened.push(place === 'partner' && remote !== undefined ? remote : openDisks(world.disks, place))
  return yield* Image.open(world, opened, {
    recorded: plexes.recorded,
    pair: settings.pair,
    aggregate: settings.aggregate.identity,
    allowedEpoch: epoch,
    cacheByteLength: settings.cacheByteLength,
    logPages: settings.logPages,
  })
}
