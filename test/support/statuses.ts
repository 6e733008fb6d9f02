import type { Asked } from '../../ts/cli/pair-status.ts'
import { ControlClient } from '../../ts/control/client.ts'
import type { NodeStatus } from '../../ts/control/node-control.ts'
import type { EngineStatus } from '../../ts/node/messages.ts'

const idle = {
  generation: 4,
  epoch: 1,
  containedSequence: 0,
  root: 0,
  state: 'idle',
  failure: '',
  lastDurationMs: 1,
  lastEndedMs: 1,
  blocksWritten: 0,
  metadataBlocksWritten: 0,
} as const

/** An engine that keeps the log of `aggregate` for its home node, with what differs. */
export function engine(aggregate: string, facts: Partial<EngineStatus> = {}): EngineStatus {
  return {
    aggregate,
    state: 'keeper',
    role: 'keeper',
    serves: false,
    because: `${aggregate} owns ${aggregate}`,
    owner: aggregate,
    home: aggregate,
    epoch: 1,
    durability: 'pair',
    scrub: null,
    plexes: null,
    mendedBlocks: 0,
    stages: null,
    takeover: { possible: true, because: '' },
    link: { up: true, peer: 'x', because: '' },
    log: {
      state: 'in-sync',
      complete: true,
      pagesUsed: 25,
      pageCount: 100,
      firstSequence: 1,
      lastSequence: 9,
      partnerSequence: 9,
    },
    consistencyPoint: idle,
    space: null,
    clients: 0,
    counters: {
      reads: 0,
      writes: 0,
      flushes: 0,
      trims: 0,
      readByteLength: 0,
      writtenByteLength: 0,
      errors: 0,
    },
    volumes: [],
    ...facts,
  }
}

/** The same as the one that serves, with one volume. */
export function serving(aggregate: string, facts: Partial<EngineStatus> = {}): EngineStatus {
  return engine(aggregate, {
    state: 'serving-mirrored',
    role: 'owner',
    serves: true,
    because: '',
    takeover: { possible: false, because: 'it owns it already' },
    space: { byteLength: 2 ** 30, usedByteLength: 2 ** 20 },
    volumes: [{ volume: 1, name: `${aggregate}-volume`, size: 2 ** 26, usedByteLength: 4096 }],
    ...facts,
  })
}

/** What a node of the pair castor and pollux has answered. */
export function answered(name: 'castor' | 'pollux', aggregates: NodeStatus['aggregates']): Asked {
  const status: NodeStatus = {
    name,
    pid: name === 'castor' ? 11 : 22,
    version: '0',
    boot: 'b',
    startedMs: 0,
    partner: name === 'castor' ? 'pollux' : 'castor',
    api: `/x/${name}.sock`,
    state: 'running',
    addresses: [],
    services: [
      { address: '127.0.0.1:1001', aggregates: ['castor'], open: true, tls: 'none', forwarded: 0 },
      { address: '127.0.0.1:1002', aggregates: ['pollux'], open: true, tls: 'none', forwarded: 0 },
    ],
    aggregates,
    events: [],
  }
  return { node: known(name), status, pid: status.pid, because: '' }
}

/** A node that does not answer; with a `pid`, its process lives. */
export function silent(name: 'castor' | 'pollux', because = 'it is not running', pid?: number): Asked {
  return { node: known(name), status: undefined, pid, because }
}

const known = (name: 'castor' | 'pollux'): Asked['node'] => ({
  name,
  api: `/x/${name}.sock`,
  nbd: name === 'castor' ? '127.0.0.1:1001' : '127.0.0.1:1002',
  client: new ControlClient(`/x/${name}.sock`),
})
