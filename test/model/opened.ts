import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { OwnerRecord } from '../../ts/format/owner-record.ts'
import type { LogFacts, OwnershipEffects, OwnershipSettings, PartnerFacts } from '../../ts/ha/facts.ts'
import type { Ownership } from '../../ts/ha/ownership.ts'
import type { ArbiterAnswer, ArbiterPort } from '../../ts/ports/arbiter.ts'

/** Private fields get this in front of their name instead of a '#'. */
const PREFIX = 'own_'

type OwnershipClass = new (
  settings: OwnershipSettings,
  arbiter: ArbiterPort,
  effects: OwnershipEffects,
) => Ownership

/**
 * The compiled code of ts/ha itself, with its private fields made readable and nothing else changed: so the
 * explorer can copy an Ownership in any state and tell two states apart.
 */
export async function openedOwnership(): Promise<OwnershipClass> {
  const built = fileURLToPath(new URL('../../ts/ha/', import.meta.url))
  const scratch = mkdtempSync(join(tmpdir(), 'pollux-model-'))
  const outside = pathToFileURL(join(built, '..')).href
  for (const name of readdirSync(built).filter((each) => each.endsWith('.js'))) {
    const text = readFileSync(join(built, name), 'utf8')
    const opened = text.replaceAll(/#([a-z]\w*)/gi, `${PREFIX}$1`).replaceAll("'../", `'${outside}/`)
    writeFileSync(join(scratch, name), opened)
  }
  writeFileSync(join(scratch, 'package.json'), '{"type":"module"}')
  const module_ = (await import(pathToFileURL(join(scratch, 'ownership.js')).href)) as {
    Ownership: OwnershipClass
  }
  rmSync(scratch, { recursive: true })
  return module_.Ownership
}

/** What the explorer looks at in an opened Ownership. */
export interface Opened {
  own_course: OpenedCourse
}

export interface OpenedOperation {
  sentMs: number
  next: OwnerRecord | undefined
  answer: ArbiterAnswer | undefined
  /** set by the explorer's arbiter */
  number?: number
}

export interface OpenedCourse {
  settings: OwnershipSettings
  state: string
  isClean: boolean
  isDropped: boolean
  wakeMs: number
  releaseByMs: number
  partnerIncarnation: string
  log: LogFacts | undefined
  partnerFacts: PartnerFacts | undefined
  stopWanted: unknown
  own_claim: { next: OwnerRecord; how: string; log: string; branch?: object } | undefined
  branchLog: string | undefined
  own_claimedEpoch: number
  own_keptEpoch: number
  own_heir: string
  own_retryAtMs: number
  own_isHandoverFutile: boolean
  own_plexWords: readonly string[] | undefined
  register: {
    known: OwnerRecord | undefined
    isRead: boolean
    holderGone: boolean
    mustRead: boolean
    seenAtMs: number
    ownSwapSentMs: number
    trouble: string
    own_operation: OpenedOperation | undefined
    own_doubtSinceMs: number | undefined
    own_doubtInSync: boolean
    own_doubtPlexesInSync: number
  }
  observer: {
    lookAtMs: number
    decideAtMs: number
    own_startedMs: number
    own_oftenUntilMs: number
    own_reopenAtMs: number
    own_reopenDelayMs: number
  }
  desk: { own_takeover: unknown; own_handover: unknown }
  meeting: { untilMs: number; own_toldEpoch: number }
  flaps: { joinAtMs: number; own_delayMs: number; own_partedAtMs: number }
}

const MUTABLE = new Set([
  'Ownership',
  'Course',
  'Register',
  'Lease',
  'Observer',
  'RequestDesk',
  'FlapLimit',
  'Meeting',
])

/** A copy that goes its own way. Records, facts and claims are never changed in place, so they are shared. */
export function copyOwnership(ownership: Ownership): Ownership {
  return copyObject(ownership, new Map()) as Ownership
}

function copyObject(from: object, copies: Map<object, object>): object {
  const known = copies.get(from)
  if (known !== undefined) return known
  const copy = Object.create(Object.getPrototypeOf(from)) as Record<string, unknown>
  copies.set(from, copy)
  const fields = from as Record<string, unknown>
  for (const key of Object.keys(fields)) {
    const value = fields[key]
    const isObject = typeof value === 'object' && value !== null
    if (isObject && MUTABLE.has(value.constructor.name)) copy[key] = copyObject(value, copies)
    else if (key === `${PREFIX}operation` && isObject) copy[key] = { ...value }
    else copy[key] = value
  }
  return copy
}
