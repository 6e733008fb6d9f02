import { crc32c } from '../../ts/base/crc32c.ts'
import { FRAME_SEALED_FROM, FrameKind, LinkFrame, LinkHello } from '../../ts/format/link-frame.ts'
import type { SimEngine } from './engine-host.ts'
import type { SimNode } from './node.ts'
import { Path, SimStream } from './stream.ts'
import type { SimWorld } from './world.ts'

export const LINK_RETRY_MS = 20

/** The link between the nodes: two paths, and for each aggregate a connection, dialled again and again. */
export class Network {
  /** what castor sends, and what pollux sends */
  readonly paths: readonly [Path, Path] = [new Path(), new Path()]
  /** castor speaks of another version when it says hello */
  isSkewed = false
  readonly #world: SimWorld
  readonly #links = new Map<number, [SimStream, SimStream]>()

  constructor(world: SimWorld) {
    this.#world = world
    this.#keepLinked()
  }

  cut(castorSends: boolean, polluxSends: boolean): void {
    this.paths[0].isCut ||= castorSends
    this.paths[1].isCut ||= polluxSends
  }

  mend(): void {
    for (const path of this.paths) path.mend()
    this.isSkewed = false
  }

  get isWhole(): boolean {
    return this.paths.every((path) => !path.isCut)
  }

  /** A connection is reset by something in between. */
  reset(place: number): void {
    for (const stream of this.#links.get(place) ?? []) stream.breakDown()
  }

  processDied(node: SimNode): void {
    const side = node === this.#world.castor ? 0 : 1
    for (const link of this.#links.values()) link[side]!.reset()
  }

  /** The main thread of pollux dials for its engines that want a link: one wish is one connection. */
  #keepLinked(): void {
    const { aggregates, castor, pollux, scheduler, random } = this.#world
    if (this.isWhole) {
      for (const { place } of aggregates) {
        const [one, two] = [castor.hosts[place], pollux.hosts[place]]
        if (one?.isAwake && two?.isAwake && two.wantsLink) this.#link(place, one, two)
      }
    }
    // sometimes before what was under way over the last connection has come back
    const isAtOnce = random.chance(0.2)
    scheduler.after(isAtOnce ? random.between(0.02, 0.2) : LINK_RETRY_MS, () => this.#keepLinked())
  }

  #link(place: number, one: SimEngine, two: SimEngine): void {
    const { scheduler, random } = this.#world
    two.wantsLink = false
    const ends = SimStream.pair(
      ['pollux', one.holder()],
      ['castor', two.holder()],
      scheduler,
      random,
      this.paths,
    )
    if (this.isSkewed) ends[0].alter = skewed
    this.#links.set(place, ends)
    for (const [host, stream] of [[one, ends[0]] as const, [two, ends[1]] as const]) {
      host.act(() => host.engine.link.open(stream, new Uint8Array(0), host.node.nowMs))
    }
  }
}

/** The bytes of a hello as a node of another log format would send it. */
function skewed(bytes: Uint8Array): Uint8Array {
  const { at, byteLength } = LinkFrame
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < byteLength || view.getUint16(at.kind, true) !== FrameKind.HELLO) return bytes
  const version = byteLength + LinkHello.at.logRingVersion
  view.setUint32(version, view.getUint32(version, true) + 1, true)
  const payloadEnd = byteLength + view.getUint32(at.payloadByteLength, true)
  view.setUint32(at.payloadSeal, crc32c(bytes, byteLength, payloadEnd), true)
  view.setUint32(at.seal, crc32c(bytes, FRAME_SEALED_FROM, byteLength), true)
  return bytes
}
