import type { Outcome } from './run.ts'

/** What a seed should come to on average, or it proves little. */
const AIMS = { ringWraps: 3, generations: 20, takeovers: 2, givebacks: 1, speed: 100 } as const

/** Adds outcomes up, and says in a few lines what the seeds have seen. */
export class Report {
  seeds = 0
  failed = 0
  readonly #sums = new Map<string, number>()
  readonly #faults = new Map<string, number>()

  add(outcome: Outcome): void {
    this.seeds += 1
    if (outcome.failure !== undefined) this.failed += 1
    for (const [key, value] of Object.entries(outcome)) {
      if (typeof value === 'number') this.#sums.set(key, (this.#sums.get(key) ?? 0) + value)
    }
    for (const [name, count] of Object.entries(outcome.faults)) {
      this.#faults.set(name, (this.#faults.get(name) ?? 0) + count)
    }
  }

  average(key: keyof Outcome): number {
    return (this.#sums.get(key) ?? 0) / Math.max(1, this.seeds)
  }

  /** `realMs`: how long it took; `cpuMs`: processor time, of all threads. */
  lines(realMs: number, cpuMs: number): string[] {
    const mean = (key: keyof Outcome): string => this.average(key).toFixed(1)
    const sum = (key: keyof Outcome): number => this.#sums.get(key) ?? 0
    const speed = (this.average('simulatedMs') * this.seeds) / Math.max(1, cpuMs)
    return [
      `${this.seeds} seeds, ${this.failed} failed, ${(realMs / 1000).toFixed(1)} s`,
      `per minute: ${Math.round((this.seeds * 60_000) / Math.max(1, realMs))} seeds;` +
        ` processor time of a seed: ${(cpuMs / Math.max(1, this.seeds) / 1000).toFixed(2)} s;` +
        ` simulated against processor time: ${Math.round(speed)}x (aim ${AIMS.speed}x)`,
      `average of a seed: ${mean('ringWraps')} ring wraps (aim ${AIMS.ringWraps}),` +
        ` ${mean('generations')} consistency points (aim ${AIMS.generations}),` +
        ` ${mean('takeovers')} takeovers (aim ${AIMS.takeovers}),` +
        ` ${mean('givebacks')} givebacks (aim ${AIMS.givebacks})`,
      `  ${mean('acknowledged')} changes acknowledged, ${mean('reads')} reads compared,` +
        ` ${mean('answers')} commands, ${mean('reconnects')} connections,` +
        ` ${mean('imageChecks')} checks of a disk`,
      `${sum('mirrored')} seeds with two plexes: ${sum('resyncs')} plexes came into sync again,` +
        ` ${sum('repairs')} blocks were repaired, ${sum('disksLost')} disks replaced`,
      `disks added to plexes: ${sum('disksAdded')}`,
      `faults: ${[...this.#faults].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    ]
  }
}
