import type { StoreError } from '../base/errors.ts'
import type { Gather } from '../base/gather.ts'
import type { Procedure } from '../base/procedure.ts'
import type { EngineSettings } from '../config/engine-settings.ts'
import { FrameKind } from '../format/link-frame.ts'
import type { LogCopy } from '../log/copy.ts'
import type { FrameReader } from '../partner/frame.ts'
import type { Copies } from '../plex/copies.ts'
import { PlexService } from '../plex/plex-service.ts'
import { RemotePlex } from '../plex/remote-plex.ts'
import type { Disk } from '../ports/disk.ts'
import type { Memory } from '../ports/memory.ts'
import type { World } from '../ports/world.ts'
import type { Link } from './link.ts'

/** What of the log the partner has, too. */
export interface SharedLog {
  epoch(): number
  /** of the image, once it is open */
  copies(): Copies | undefined
  sharedPageAt(address: number): number
  /** the partner's disks do not answer */
  overdue(why: string): void
}

/**
 * Disks over the link, where nothing is shared: as owner, this node uses those of the partner; as keeper, it
 * serves its own to the owner. With shared disks there is nothing of it.
 */
export class DiskLink {
  readonly #remote: RemotePlex | undefined
  readonly #service: PlexService | undefined

  constructor(world: World, settings: EngineSettings, log: LogCopy, link: Link, shared: SharedLog) {
    const { plexes } = settings.aggregate
    if (!plexes.includes('partner')) return
    const incarnation = (): Uint8Array => log.incarnation
    const epoch = (): number => shared.epoch()
    const sharedPageAt = (address: number): number => shared.sharedPageAt(address)
    const { address } = log.ring.memory
    const pagesAt = log.ring.pageAddress(0)
    const isChanging = (at: number): boolean => at >= address && at < pagesAt
    this.#remote = new RemotePlex(world.memory, {
      sharedPageAt,
      isChanging,
      epoch,
      incarnation,
      isOnlyPlex: () => shared.copies()?.isRemoteOnly ?? false,
      // while the image is opened, nobody knows yet what else there is
      mayGoWithout: () => shared.copies()?.isRemoteOnly === false,
      overdue: () => shared.overdue(`its disks have not answered for ${settings.plexTimeoutMs} ms`),
      partner: settings.partner.name,
      timeoutMs: settings.plexTimeoutMs,
    })
    const local = plexes.find((place) => place !== 'partner')
    if (local === undefined) return
    const queue: Link['queue'] = (values, payload) => link.queue(values, payload)
    this.#service = new PlexService(world.memory, world.disks, local, log.ring, { queue, epoch, incarnation })
  }

  get bytesByValue(): number {
    return this.#remote?.bytesByValue ?? 0
  }

  get bytesByReference(): number {
    return this.#remote?.bytesByReference ?? 0
  }

  /** All disks that the partner has open. */
  get remoteDisks(): readonly Disk[] {
    return this.#remote?.openDisks ?? []
  }

  /** The partner's disks were opened before the link broke: they take no writes any more. */
  get isOutlived(): boolean {
    return this.#remote?.isOutlived ?? false
  }

  /** Nobody answers for the partner's disks that are in use. */
  get isAway(): boolean {
    return this.#remote?.isUp === false || this.isOutlived
  }

  linkUp(): void {
    this.#remote?.linkUp()
  }

  linkDown(): void {
    this.#remote?.linkDown()
    this.#service?.linkDown()
  }

  /** The ownership is over: nobody waits for the link any more. */
  giveUp(): void {
    this.#remote?.giveUp()
  }

  /** Called once per turn. */
  step(nowMs: number): void {
    this.#remote?.step(nowMs)
    this.#service?.step()
  }

  /** There is something to tell at once. */
  get hasWork(): boolean {
    return this.#remote?.hasWork ?? false
  }

  /** Opens the disks of the partner; waits for the link as long as `mayWait`. */
  *open(mayWait: () => boolean = () => false): Procedure<readonly Disk[] | StoreError> {
    while (!this.#remote!.isUp && mayWait()) yield 'wait'
    return yield* this.#remote!.open()
  }

  /** This node becomes owner, and opens its disks itself: what is left to be done before. */
  *closing(): Procedure {
    if (this.#service !== undefined) yield* this.#service.closing()
  }

  /** A frame about disks. A text: it does not fit, the session must end. */
  take(frame: FrameReader, input: Memory, payload: number): string | undefined {
    const side = frame.kind === FrameKind.DISK_DONE ? this.#remote : this.#service
    return side === undefined ? 'disks are asked for that are not shared' : side.take(frame, input, payload)
  }

  addFrames(gather: Gather): void {
    this.#remote?.addFrames(gather)
    this.#service?.addFrames(gather)
  }
}
