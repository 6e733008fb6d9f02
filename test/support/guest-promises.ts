import { until } from './program.ts'
import type { VirtualMachine } from './virtual-machine.ts'

/** What the guest was promised: the checksum of each file and each stretch of blocks that it has forced. */
export class GuestPromises {
  readonly #counts: Map<string, number>
  readonly #guest: VirtualMachine
  readonly #stored = new Map<string, { kib: string; sum: string }>()
  readonly #shown = new Map<string, string>()
  #failed: string[] = []
  #longestMs = 0

  /** `kinds` are those of `store` in guest-init.sh that the guest writes. */
  constructor(guest: VirtualMachine, kinds: readonly string[]) {
    this.#guest = guest
    this.#counts = new Map(kinds.map((kind) => [kind, 0]))
    guest.onLine = (line) => this.#hear(line)
  }

  get count(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Longest time that a write took since this was asked last. */
  longestMs(): number {
    const longestMs = this.#longestMs
    this.#longestMs = 0
    return longestMs
  }

  /** Waits until so many more writes of each kind were promised. */
  async progress(more: number): Promise<void> {
    const wanted = [...this.#counts].map(([kind, count]): [string, number] => [kind, count + more])
    const isThere = () => wanted.every(([kind, count]) => this.#counts.get(kind)! >= count)
    await until('the guest writes on', () => this.#failed.length > 0 || isThere(), 60_000)
  }

  /** Reads everything from the disks while nobody writes, and says what is not what was promised. */
  async broken(): Promise<string[]> {
    this.#shown.clear()
    await this.#guest.command('forget')
    const all = [...this.#stored]
    await this.#guest.command(all.map(([name, { kib }]) => `shows ${name} ${kib}`).join(';'))
    const wrong = all.filter(([name, { sum }]) => this.#shown.get(name) !== sum)
    return [...this.#failed, ...wrong.map(([name]) => `${name} is not what was written last`)]
  }

  #hear(line: string): void {
    const [what, kind, slot, ...rest] = line.split(' ')
    const name = `${kind} ${slot}`
    if (what === 'stored') {
      this.#stored.set(name, { kib: rest[0]!, sum: rest[1]! })
      this.#longestMs = Math.max(this.#longestMs, Number(rest[2]))
      this.#counts.set(kind!, this.#counts.get(kind!)! + 1)
    } else if (what === 'shows') this.#shown.set(name, rest[0]!)
    else if (what === 'failed') this.#failed.push(line)
  }
}
