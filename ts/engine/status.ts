import type { PlexPlace } from '../base/plex-place.ts'
import { BLOCK_SIZE, MIB } from '../base/units.ts'
import type { Engine } from '../engine.ts'
import type {
  ConsistencyPointStatus,
  EngineStatus,
  PlexStatus,
  ResyncProgress,
  ScrubStatus,
  StageTimes,
  VolumeStatus,
} from '../node/messages.ts'
import type { Copy } from '../plex/copies.ts'
import type { ServingState } from '../ports/host.ts'
import type { Volume } from '../volume/directory.ts'
import type { Owner } from './owner.ts'
import type { Scrubbing } from './scrubbing.ts'

/** Everything a person or a test may want to know of one engine, from local memory alone. */
export function status(engine: Engine): EngineStatus & Record<string, unknown> {
  const { settings, ownership, owner, link, log, diskLink } = engine
  const record = ownership.record
  const serves = engine.isServing && owner !== undefined
  return {
    aggregate: settings.aggregate.name,
    state: ownership.state,
    role: owner !== undefined ? 'owner' : ownership.state === 'keeper' ? 'keeper' : 'none',
    serves,
    because: serves ? '' : ownership.reason,
    owner: record?.owner ?? '',
    home: settings.aggregate.home,
    epoch: ownership.epoch,
    durability: settings.durability,
    takeover: ownership.takeoverPossible(),
    link: { up: link.isUp, peer: link.peer, because: link.isUp ? '' : link.downReason },
    log: {
      state: record?.log ?? 'stale',
      complete: log.marks.complete,
      pagesUsed: log.ring.pagesUsed,
      pageCount: log.layout.pageCount,
      firstSequence: log.ring.tail,
      lastSequence: log.ring.head - 1,
      partnerSequence: link.isUp && owner !== undefined ? owner.mirror.acknowledged : 0,
    } as EngineStatus['log'],
    consistencyPoint: owner === undefined ? keptStatus(engine) : consistencyStatus(owner),
    space: serves ? spaceStatus(owner) : null,
    clients: owner?.aggregate.sessions.openCount ?? 0,
    counters: counters(owner),
    volumes: serves ? owner.aggregate.directory.list().map(volumeStatus) : [],
    scrub: owner === undefined ? null : scrubStatus(owner.scrubbing),
    plexes: owner === undefined ? null : plexStatus(engine, owner),
    stages: owner === undefined ? null : stageTimes(engine, owner),
    mendedBlocks: owner?.aggregate.image.mender.mended ?? 0,
    recovery: owner?.recovery ?? null,
    linkBytesSent: link.bytesSent,
    diskBytesByValue: diskLink.bytesByValue,
    diskBytesByReference: diskLink.bytesByReference,
  }
}

/** What a client is told that asks for a volume. */
export function servingState({ isServing, owner, ownership }: Engine): ServingState {
  const serves = isServing && owner !== undefined
  const volumes = serves ? owner.aggregate.directory.list() : []
  return {
    serves,
    // the ownership tells of itself before the engine has it
    because: serves ? '' : (ownership?.reason ?? ''),
    volumes: volumes.map(({ volume, name, size }) => ({ volume, name, size })),
  }
}

/** What a keeper knows of its owner's consistency points (F19: the partner holds the same after commit). */
function keptStatus(engine: Engine): ConsistencyPointStatus {
  const { generation, contained } = engine.keeper
  return { ...NO_CONSISTENCY_POINT, generation, containedSequence: contained } as ConsistencyPointStatus
}

const NO_CONSISTENCY_POINT = {
  generation: 0,
  epoch: 0,
  containedSequence: 0,
  root: 0,
  state: 'idle' as const,
  failure: '',
  lastDurationMs: 0,
  lastEndedMs: 0,
  blocksWritten: 0,
  metadataBlocksWritten: 0,
}

export function consistencyStatus(owner: Owner | undefined): ConsistencyPointStatus {
  if (owner === undefined) return NO_CONSISTENCY_POINT
  const { consistency, aggregate } = owner
  const { image } = aggregate
  return {
    generation: image.generation,
    epoch: image.epoch,
    containedSequence: image.lastSequence,
    root: image.rootDigest,
    state: consistency.isHeld ? 'held' : consistency.isRunning ? 'running' : 'idle',
    failure: consistency.failure,
    lastDurationMs: consistency.lastDurationMs,
    lastEndedMs: consistency.lastStartedMs + consistency.lastDurationMs,
    blocksWritten: image.counters.dataBlocksWritten,
    metadataBlocksWritten: image.counters.metadataBlocksWritten,
  } as ConsistencyPointStatus
}

export function scrubStatus(scrubbing: Scrubbing): ScrubStatus {
  const { state, startedMs, endedMs, bytesRead, byteRate, findingCount, mendedCount, findings } = scrubbing
  const durationMs = state === 'finished' || state === 'stopped' ? endedMs - startedMs : 0
  const unreadPlexes = [...scrubbing.unreadPlexes]
  const counts = { findingCount, mendedCount, unreadPlexes }
  return { state, durationMs, readByteLength: bytesRead, byteRate, ...counts, findings }
}

export function volumeStatus(volume: Volume): VolumeStatus {
  const { name, size, mappedBlocks } = volume
  return { volume: volume.volume, name, size, usedByteLength: mappedBlocks * BLOCK_SIZE }
}

function plexStatus({ settings, ownership }: Engine, { aggregate, returning }: Owner): PlexStatus[] {
  const { record } = ownership
  return aggregate.image.copies.all.map((copy) => {
    const resync = returning.progressOf(copy) ?? null
    return {
      plex: copy.plex,
      state: copy.state,
      recorded: (copy.plex === 0 ? record?.plex0 : record?.plex1) ?? 'absent',
      because: resync === null ? copy.because : resyncText(resync),
      disks: diskPaths(settings.aggregate.plexes[copy.plex]!, copy),
      resync,
    }
  })
}

function resyncText({ copiedBytes, restBytesMax, bytesPerSecond }: ResyncProgress): string {
  const [copied, rest, rate] = [copiedBytes, restBytesMax, bytesPerSecond].map((bytes) =>
    Math.floor(bytes / MIB),
  )
  const left = rate === 0 ? '' : `, ${Math.ceil(restBytesMax / bytesPerSecond)} s`
  return `resync: ${copied} MiB copied, ${rate} MiB/s; left at most: ${rest} MiB${left}`
}

function stageTimes({ turnTimes }: Engine, { aggregate, consistency }: Owner): StageTimes {
  const { trees, map, flush, superblock } = consistency.stages
  return {
    turn: turnTimes.summary(),
    write: aggregate.acknowledgements.waits.summary(),
    flush: aggregate.stabilities.waits.summary(),
    trees: trees.summary(),
    map: map.summary(),
    diskFlush: flush.summary(),
    superblock: superblock.summary(),
  }
}

const diskPaths = (place: PlexPlace, { disks }: Copy): readonly string[] =>
  place === 'partner' ? disks.map(({ disk }) => disk.path) : place

function spaceStatus(owner: Owner): NonNullable<EngineStatus['space']> {
  const { space } = owner.aggregate.image
  return { byteLength: space.total * BLOCK_SIZE, usedByteLength: space.used * BLOCK_SIZE }
}

function counters(owner: Owner | undefined): EngineStatus['counters'] {
  const seen = owner?.aggregate.counters
  return {
    reads: seen?.reads ?? 0,
    writes: seen?.writes ?? 0,
    flushes: seen?.flushes ?? 0,
    trims: seen?.ranges ?? 0,
    readByteLength: seen?.bytesRead ?? 0,
    writtenByteLength: seen?.bytesWritten ?? 0,
    errors: owner?.consistency.failures ?? 0,
  }
}
