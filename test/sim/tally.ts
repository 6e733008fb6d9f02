/** Counts what a report tells of: by the events that engines tell. */
export class Tally {
  readonly facts = { takeovers: 0, givebacks: 0, opened: 0, generations: 0 }

  heard(kind: string, text: string): void {
    if (kind === 'consistency point') this.facts.generations += 1
    if (kind !== 'opening') return
    this.facts.opened += 1
    if (text.includes(': takeover,')) this.facts.takeovers += 1
    if (text.includes(': handover,')) this.facts.givebacks += 1
  }
}
