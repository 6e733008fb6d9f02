import { StoreError } from '../base/errors.ts'
import type { Engine } from '../engine.ts'
import { changeVolume, type VolumeChange } from '../flow/volume-requests.ts'
import type { FoundPlex } from '../ha/facts.ts'
import type { LogPart } from '../node/messages.ts'
import type { Volume } from '../volume/directory.ts'
import { dumpLog } from './log-dump.ts'
import type { Owner } from './owner.ts'
import { consistencyStatus, scrubStatus, status, volumeStatus } from './status.ts'

type Body = Record<string, unknown>
type Handler = (engine: Engine, request: number, body: Body) => void

/** Requests of the control path, by name. Bodies were checked at the API's border. */
const handlers: Record<string, Handler> = {
  status: (engine, request) => engine.answer(request, status(engine)),
  'volume-create': (engine, request, body) => {
    change(engine, request, { kind: 'create', name: text(body, 'name'), size: number(body, 'size') })
  },
  'volume-delete': (engine, request, body) =>
    change(engine, request, { kind: 'delete', name: text(body, 'name') }),
  'volume-resize': (engine, request, body) => {
    change(engine, request, { kind: 'resize', name: text(body, 'name'), size: number(body, 'size') })
  },
  'volume-rename': (engine, request, body) => {
    change(engine, request, { kind: 'rename', name: text(body, 'name'), newName: text(body, 'newName') })
  },
  takeover: (engine, request, body) => {
    const { world, settings, ownership } = engine
    const options = {
      force: body['force'] === true,
      acceptDataLoss: body['acceptDataLoss'] === true,
      reason: String(body['reason'] ?? ''),
      at: new Date(world.clock.wall()).toISOString(),
      dryRun: body['dryRun'] === true,
    }
    const take = (plexes: readonly FoundPlex[]): void =>
      ownership.takeover(world.clock.now(), request, { ...options, plexes })
    if (!options.force || !options.acceptDataLoss) take([])
    else engine.looks.begin(world, settings, take)
  },
  handover: (engine, request, body) => {
    engine.ownership.handover(engine.world.clock.now(), request, { dryRun: body['dryRun'] === true })
  },
  'cp-now': (engine, request) => {
    const owner = owning(engine)
    if (owner.consistency.isHeld) {
      throw new StoreError('NOT_READY', 'consistency points are held; `pollux cp resume` lets them go on')
    }
    owner.consistency.complete((error) => {
      engine.answer(request, error === undefined ? consistencyStatus(owner) : undefined, error)
    })
  },
  'cp-hold': (engine, request) => {
    const owner = owning(engine)
    owner.consistency.hold()
    engine.answer(request, consistencyStatus(owner))
  },
  'cp-resume': (engine, request) => {
    // also while a handover is tried: it needs a consistency point, and may come to nothing
    const owner = engine.owner ?? owning(engine)
    owner.consistency.resume()
    engine.answer(request, consistencyStatus(owner))
  },
  'scrub-start': (engine, request, body) => {
    const { scrubbing } = owning(engine)
    scrubbing.start(body['byteRate'] === undefined ? undefined : number(body, 'byteRate'))
    engine.answer(request, scrubStatus(scrubbing))
  },
  'scrub-stop': (engine, request) => {
    const { scrubbing } = owning(engine)
    scrubbing.stop()
    engine.answer(request, scrubStatus(scrubbing))
  },
  'cp-info': (engine, request) => engine.answer(request, consistencyStatus(engine.owner)),
  'log-dump': (engine, request, body) => {
    const part = body['part'] as LogPart | undefined
    engine.answer(request, dumpLog(engine, text(body, 'copy'), number(body, 'limit'), part))
  },
}

export function handleRequest(engine: Engine, request: number, name: string, body: unknown): void {
  const handler = handlers[name]
  if (handler === undefined) throw new StoreError('USAGE', `the engine knows no request '${name}'`)
  handler(engine, request, (body ?? {}) as Body)
}

/** Logged like a write, and answered like one: when every copy of the log has it. */
function change(engine: Engine, request: number, wanted: VolumeChange): void {
  const owner = owning(engine)
  const before = owner.aggregate.directory.find(wanted.name)
  const sequence = changeVolume(owner.aggregate, wanted, engine.world.entropy)
  if (sequence === undefined) {
    throw new StoreError(
      'NOT_READY',
      'the log is full and waits for a consistency point; try again in a moment',
    )
  }
  const name = wanted.kind === 'rename' ? wanted.newName : wanted.name
  const after = wanted.kind === 'delete' ? before : owner.aggregate.directory.find(name)
  const answer = (): void => {
    if (engine.owner === owner) engine.answer(request, volumeStatus(after as Volume))
    else
      engine.answer(
        request,
        undefined,
        new StoreError('FENCED', `'${name}': ownership ended before the change was safe; look again`),
      )
  }
  engine.waiting.push({ sequence, answer })
  engine.changed()
}

function owning(engine: Engine): Owner {
  if (engine.owner !== undefined && engine.isServing && !engine.owner.isQuiet) return engine.owner
  const owner = engine.ownership.record?.owner
  const { name } = engine.settings.aggregate
  throw owner !== undefined && owner !== engine.settings.node.name
    ? new StoreError('NOT_OWNER', `aggregate ${name} is owned by ${owner} now; ask that node`)
    : new StoreError('NOT_READY', `aggregate ${name} is not served here yet: ${engine.ownership.reason}`)
}

function text(body: Body, key: string): string {
  const value = body[key]
  if (typeof value === 'string') return value
  throw new StoreError('USAGE', `${key} has to be a text`)
}

function number(body: Body, key: string): number {
  const value = body[key]
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new StoreError('USAGE', `${key} has to be a number`)
}
