import { type Static, Type } from 'typebox'

/** What the routes of the API take. Unknown keys are refused. */
const closed = { additionalProperties: false } as const
const name = Type.String({ minLength: 1, maxLength: 255 })
const size = Type.Integer({ minimum: 1 })
const aggregates = Type.Optional(Type.Array(name, { maxItems: 64 }))

export const CreateVolume = Type.Object({ name, size, aggregate: Type.Optional(name) }, closed)
export type CreateVolume = Static<typeof CreateVolume>

export const ChangeVolume = Type.Object(
  { size: Type.Optional(size), newName: Type.Optional(name), aggregate: Type.Optional(name) },
  closed,
)
export type ChangeVolume = Static<typeof ChangeVolume>

export const Takeover = Type.Object(
  {
    aggregates,
    force: Type.Boolean({ default: false }),
    acceptDataLoss: Type.Boolean({ default: false }),
    reason: Type.String({ maxLength: 1000, default: '' }),
    dryRun: Type.Boolean({ default: false }),
  },
  closed,
)
export type Takeover = Static<typeof Takeover>

export const Handover = Type.Object({ aggregates, dryRun: Type.Boolean({ default: false }) }, closed)
export type Handover = Static<typeof Handover>

export const ConsistencyPoint = Type.Object(
  { action: Type.Enum(['now', 'hold', 'resume']), aggregate: Type.Optional(name) },
  closed,
)
export type ConsistencyPoint = Static<typeof ConsistencyPoint>

export const Scrub = Type.Object(
  {
    action: Type.Enum(['start', 'stop']),
    aggregate: Type.Optional(name),
    byteRate: Type.Optional(Type.Integer({ minimum: 4096 })),
  },
  closed,
)
export type Scrub = Static<typeof Scrub>

export const Stop = Type.Object({ pair: Type.Boolean({ default: false }) }, closed)
export type Stop = Static<typeof Stop>
