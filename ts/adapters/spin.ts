/** Longest that a thread looks for completions before it sleeps: about as long as it takes to be woken. */
const SPIN_US = 50
/** A sleep that ended so soon might have been spared. */
const SHORT_SLEEP_MS = 0.15
const SCORE_MAX = 8

/**
 * Whether a thread is to look for completions for a moment before it sleeps. With few requests under way
 * that makes each several times as fast, and cheaper, too: to be put to sleep and woken costs more than to
 * look. It is worth it only where completions come that soon, so each waiting is a lesson for the next ones.
 */
export class Spin {
  #score = 0

  get us(): number {
    return this.#score > 0 ? SPIN_US : 0
  }

  /** A turn has waited, having spun for so long at most; `slept`: in vain. */
  learn(waitedMs: number, spunUs: number, slept: boolean): void {
    if (slept && spunUs > 0) this.#score = -SCORE_MAX
    else if (!slept || waitedMs < SHORT_SLEEP_MS) this.#score = Math.min(this.#score + 1, SCORE_MAX)
    else this.#score = Math.max(this.#score - 1, -SCORE_MAX)
  }
}
