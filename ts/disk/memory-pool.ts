import type { Memory, MemoryPort } from '../ports/memory.ts'

/**
 * Memory of a port is never given back to the system, so that the kernel can still write into it.
 * An aggregate that changes hands often takes the same memory again and again from here.
 */
export class MemoryPool {
  readonly port: MemoryPort
  readonly #idle = new Map<number, Memory[]>()

  constructor(port: MemoryPort) {
    this.port = port
  }

  /** Zeroed memory. Give it back once no I/O can touch it any more. */
  borrow(byteLength: number): Memory {
    const again = this.#idle.get(byteLength)?.pop()
    again?.bytes.fill(0)
    return again ?? this.port.allocate(byteLength)
  }

  /** Memory with whatever was in it before, for those who write before they read. */
  borrowAsIs(byteLength: number): Memory {
    return this.#idle.get(byteLength)?.pop() ?? this.port.allocate(byteLength)
  }

  giveBack(memory: Memory): void {
    const idle = this.#idle.get(memory.byteLength)
    if (idle === undefined) this.#idle.set(memory.byteLength, [memory])
    else idle.push(memory)
  }
}

const pools = new WeakMap<MemoryPort, MemoryPool>()

/** The pool of this port; there is one for each. */
export function memoryPool(port: MemoryPort): MemoryPool {
  let pool = pools.get(port)
  if (pool === undefined) {
    pool = new MemoryPool(port)
    pools.set(port, pool)
  }
  return pool
}
