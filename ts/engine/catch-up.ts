import type { Gather } from '../base/gather.ts'
import { identityText } from '../format/identity.ts'
import { FrameKind } from '../format/link-frame.ts'
import type { Ownership } from '../ha/ownership.ts'
import type { Link } from './link.ts'
import type { Owner } from './owner.ts'

/**
 * An owner brings its partner's copy of the log up to date, while clients run, in the order: begin, send,
 * require it, wait for what was acknowledged without it, say so to the arbiter.
 */
export class CatchUp {
  /** the partner's copy has been begun in this session of the link */
  isMirroring = false
  /** acknowledgements wait for the partner already, although the record does not say so yet */
  isJoining = false
  readonly #link: Link
  readonly #ownership: Ownership

  constructor(link: Link, ownership: Ownership) {
    this.#link = link
    this.#ownership = ownership
  }

  /** Another session of the link, or another ownership: nothing of the earlier one counts. */
  reset(): void {
    this.isMirroring = false
    this.isJoining = false
  }

  step(nowMs: number, owner: Owner): void {
    const { partner } = this.#link
    if (partner === undefined || partner.state !== 'keeper') return
    const ownership = this.#ownership
    if (!this.isMirroring) {
      if (!ownership.mayFillPartner(nowMs) || owner.returning.keepsLostLog) return
      this.isMirroring = true
      owner.mirror.start(partner.incarnation)
      this.#sendBase(owner)
    } else if (owner.mirror.hasFallenBehind && ownership.mirrorRequired) {
      // cannot be, since the tail waits for a partner that is in sync; a new session settles it in order
      return this.#link.close('the partner lacks entries that are no longer in the log')
    } else if (owner.mirror.hasFallenBehind && !owner.mirror.isSending) {
      owner.mirror.restart()
      this.#sendBase(owner)
    }
    if (ownership.mirrorRequired) return
    if (!this.isJoining && owner.mirror.isCaughtUp && ownership.wantsPartner(nowMs)) this.isJoining = true
    if (this.isJoining && owner.mirror.acknowledged >= owner.aggregate.acknowledged) {
      ownership.partnerComplete(nowMs, identityText(partner.incarnation))
      if (ownership.mirrorRequired || ownership.state === 'pairing') this.isJoining = false
    }
  }

  addEntries(gather: Gather, owner: Owner | undefined): void {
    if (this.isMirroring) owner?.mirror.addEntries(gather)
  }

  /** A consistency point contains the log through `sequence`: the partner may release its copy of that. */
  release(epoch: number, sequence: number, generation: number): void {
    if (this.isMirroring) this.#link.queue({ kind: FrameKind.RELEASE, epoch, sequence, generation })
  }

  #sendBase(owner: Owner): void {
    const { epoch, image } = owner.aggregate
    const { base } = owner.mirror
    this.#link.queue({ kind: FrameKind.BASE, epoch, sequence: base, generation: image.generation })
  }
}
