/** Simulated time: events in order of their time, those of one time in the order of their making. */
export class Scheduler {
  nowMs = 1000
  executed = 0
  /** a digest of everything that has happened: two runs of one seed must have the same */
  hash = 0x811c9dc5
  #order = 0
  readonly #heap: { at: number; order: number; run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    this.#order += 1
    this.#push({ at: this.nowMs + Math.max(0, delayMs), order: this.#order, run })
  }

  /** Runs the next event. False: nothing is left to happen. */
  step(): boolean {
    const next = this.#pop()
    if (next === undefined) return false
    this.nowMs = Math.max(this.nowMs, next.at)
    this.executed += 1
    this.note(next.order)
    this.note(this.nowMs * 1024)
    next.run()
    return true
  }

  /** Adds a number to the digest. */
  note(value: number): void {
    this.hash = Math.imul(this.hash ^ (value | 0), 0x01000193) >>> 0
  }

  #push(event: { at: number; order: number; run: () => void }): void {
    const heap = this.#heap
    heap.push(event)
    for (let child = heap.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1
      if (!isBefore(heap[child]!, heap[parent]!)) break
      swap(heap, child, parent)
      child = parent
    }
  }

  #pop(): { run: () => void; at: number; order: number } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    heap[0] = last
    for (let parent = 0; ; ) {
      const left = parent * 2 + 1
      const right = left + 1
      let smallest = parent
      if (left < heap.length && isBefore(heap[left]!, heap[smallest]!)) smallest = left
      if (right < heap.length && isBefore(heap[right]!, heap[smallest]!)) smallest = right
      if (smallest === parent) return first
      swap(heap, smallest, parent)
      parent = smallest
    }
  }
}

interface Timed {
  at: number
  order: number
}

const isBefore = (a: Timed, b: Timed): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

function swap<T>(list: T[], a: number, b: number): void {
  const kept = list[a]!
  list[a] = list[b]!
  list[b] = kept
}
