import { type Static, type TString, Type } from 'typebox'

/**
 * The shape of node.toml. What a value means beyond its shape (units, addresses, relations between
 * keys) is checked in `mistakes.ts`. Unknown keys are refused: a typo must not become a default.
 */
const table = { additionalProperties: false } as const
const name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' })
const text = Type.String({ minLength: 1 })
const identity = Type.String({ pattern: '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$' })
/** Paths of the disks of a plex, or whose host has them. Of a union, all mistakes would be named at once. */
const disks = Type.Unsafe<string[] | 'partner'>({
  type: ['array', 'string'],
  items: text,
  minItems: 1,
  maxItems: 64,
  pattern: '^partner$',
})
const optional = (type: TString) => Type.Optional(type)

const Aggregate = Type.Object(
  {
    name,
    identity,
    home: name,
    disks,
    mirror: Type.Optional(disks),
    service: text,
    interface: optional(text),
    prefix_length: Type.Optional(Type.Integer({ minimum: 1, maximum: 128 })),
    durability: Type.Optional(Type.Enum(['nvram', 'pair', 'vault'])),
    log_size: optional(text),
    cache_size: optional(text),
    takeover: Type.Optional(Type.Enum(['automatic', 'manual'])),
    cp_interval: optional(text),
    cp_fill_mark: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 0.75 })),
    scrub_interval: optional(text),
    scrub_rate: optional(text),
    cpu: Type.Optional(Type.Integer({ minimum: 0, maximum: 1023 })),
    connections_max: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
  },
  table,
)

/** One more place where clients find volumes, as long as this node serves them. */
const Listener = Type.Object(
  {
    listen: text,
    aggregates: Type.Optional(Type.Array(name, { minItems: 1, maxItems: 64 })),
    read_only: Type.Optional(Type.Boolean()),
    forward: Type.Optional(Type.Boolean()),
  },
  table,
)

/** TLS for clients that come over a network. */
const Tls = Type.Object(
  {
    certificate: text,
    key: text,
    authority: text,
    required: Type.Optional(Type.Boolean()),
    client: Type.Optional(
      Type.Array(
        Type.Object({ name: text, volumes: Type.Array(text, { minItems: 1, maxItems: 4096 }) }, table),
        { minItems: 1, maxItems: 4096 },
      ),
    ),
  },
  table,
)

export const NodeFile = Type.Object(
  {
    pair: identity,
    node: Type.Object({ name, identity }, table),
    partner: Type.Object({ name, identity, link: text }, table),
    nvram: Type.Object({ directory: text, persistent: Type.Optional(Type.Boolean()) }, table),
    arbiter: Type.Object({ kind: Type.Enum(['file']), directory: text }, table),
    link: Type.Object({ listen: text }, table),
    api: Type.Object({ socket: text }, table),
    timing: Type.Optional(
      Type.Object(
        {
          lease: optional(text),
          lease_margin: optional(text),
          heartbeat: optional(text),
          link_timeout: optional(text),
          partner_grace: optional(text),
          plex_timeout: optional(text),
        },
        table,
      ),
    ),
    tls: Type.Optional(Tls),
    nbd: Type.Optional(Type.Array(Listener, { maxItems: 64 })),
    aggregate: Type.Array(Aggregate, { minItems: 1, maxItems: 64 }),
  },
  table,
)

export type NodeFile = Static<typeof NodeFile>
export type AggregateTable = Static<typeof Aggregate>
export type ListenerTable = Static<typeof Listener>
export type TlsTable = Static<typeof Tls>
export type TimingTable = NonNullable<NodeFile['timing']>
