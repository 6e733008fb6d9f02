/** Longest that a receiver waits for the giver's copy: a link comes up, and an empty log is sent, in less. */
const MEETING_MS = 1000

/**
 * After a handover everything is on the disks, and the giver is about to be keeper. The receiver waits for
 * its copy, and serves from the first moment with both: what it acknowledged alone would be lost with it, and
 * if it died at once, nobody could serve.
 */
export class Meeting {
  #toldEpoch = -1
  untilMs = 0

  /** The giver, in this epoch, has said that it stays. */
  expect(epoch: number): void {
    this.#toldEpoch = epoch
  }

  /** The receiver has opened the image, in this epoch. */
  begin(nowMs: number, epoch: number): void {
    this.untilMs = epoch === this.#toldEpoch + 1 ? nowMs + MEETING_MS : 0
  }

  end(): void {
    this.untilMs = 0
  }
}
