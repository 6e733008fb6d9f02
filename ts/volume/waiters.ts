import type { Waiter } from './cache.ts'

const NONE = -1

/** Who waits for which frame: a list per frame, its links kept in arrays that are used again. */
export class Waiters {
  readonly #first: Int32Array
  #next = new Int32Array(256).fill(NONE)
  readonly #waiting: (Waiter | undefined)[] = []
  #free = NONE

  constructor(frameCount: number) {
    this.#first = new Int32Array(frameCount).fill(NONE)
  }

  add(frame: number, waiter: Waiter): void {
    const first = this.#first[frame]!
    if (first !== NONE && this.#waiting[first] === waiter) return
    const link = this.#takeLink()
    this.#waiting[link] = waiter
    this.#next[link] = first
    this.#first[frame] = link
  }

  /** Wakes all that wait for the frame. They may wait again at once. */
  wake(frame: number): void {
    let link = this.#first[frame]!
    this.#first[frame] = NONE
    while (link !== NONE) {
      const waiter = this.#waiting[link]!
      const next = this.#next[link]!
      this.#waiting[link] = undefined
      this.#next[link] = this.#free
      this.#free = link
      waiter.wake()
      link = next
    }
  }

  #takeLink(): number {
    const link = this.#free
    if (link !== NONE) {
      this.#free = this.#next[link]!
      return link
    }
    const fresh = this.#waiting.length
    this.#waiting.push(undefined)
    if (fresh === this.#next.length) {
      const larger = new Int32Array(this.#next.length * 2).fill(NONE)
      larger.set(this.#next)
      this.#next = larger
    }
    return fresh
  }
}
