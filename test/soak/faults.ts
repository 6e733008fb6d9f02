import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../sim/random.ts'
import { type NodeName, partnerOf } from '../support/pair.ts'
import type { DiskMood } from './fault-disk.ts'
import type { Traffic } from './network.ts'
import { type Fault, faultText } from './plan.ts'
import type { SoakClient } from './soak-client.ts'
import type { SoakPair } from './soak-pair.ts'

export interface FaultTarget {
  readonly pair: SoakPair
  readonly clientsOf: (aggregate: NodeName) => readonly SoakClient[]
  readonly note: (text: string) => void
}

type Undo = () => void | Promise<void>

/** Carries out the plan of one episode. */
export class Faults {
  /** how many of each kind there were */
  readonly counts = new Map<string, number>()
  readonly active = new Map<Fault, Undo>()
  readonly #target: FaultTarget
  readonly #flickers: Random
  #commands: Promise<void>[] = []

  constructor(target: FaultTarget, seed: number) {
    this.#target = target
    this.#flickers = new Random(seed)
  }

  /** Ends when the last fault has; `isOver` ends it early. */
  async run(plan: readonly Fault[], isOver: () => boolean): Promise<void> {
    const startedMs = performance.now()
    const ends: Promise<void>[] = []
    for (const fault of plan) {
      while (performance.now() - startedMs < fault.atMs && !isOver()) await sleep(10)
      if (isOver()) break
      ends.push(this.#one(fault, isOver))
    }
    await Promise.all(ends)
    await Promise.all(this.#commands.splice(0))
  }

  async #one(fault: Fault, isOver: () => boolean): Promise<void> {
    const name = fault.how === '' ? fault.kind : `${fault.kind}: ${fault.how}`
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    this.#target.note(`FAULT ${faultText(fault)}`)
    const startedMs = performance.now()
    const undo = await this.#begin(fault)
    this.active.set(fault, undo)
    while (performance.now() - startedMs < fault.durationMs && !isOver()) {
      if (fault.how === 'flickering') this.#flicker(fault)
      await sleep(10)
    }
    this.active.delete(fault)
    await undo()
    if (fault.durationMs > 0) this.#target.note(`  END ${faultText(fault)}`)
  }

  async #begin(fault: Fault): Promise<Undo> {
    const { pair } = this.#target
    const { targets, how } = fault
    switch (fault.kind) {
      case 'kill':
        await Promise.all(targets.map((name) => pair.node(name).kill()))
        return () => targets.forEach((name) => void pair.node(name).start())
      case 'stop':
        for (const name of targets) pair.node(name).stop()
        return () => targets.forEach((name) => void pair.node(name).goOn())
      case 'link':
        return this.#cutLink(how)
      case 'path':
        return this.#cutPaths(targets, how)
      case 'cut off': {
        const undos = [await this.#cutLink('silent'), await this.#cutPaths(targets, 'silent')]
        return async () => void (await Promise.all(undos.map((undo) => undo())))
      }
      case 'disk':
        for (const name of targets)
          pair.disks.get(name)!.set(how === 'flickering' ? 'good' : (how as DiskMood))
        return () => targets.forEach((name) => void pair.disks.get(name)!.set('good'))
      case 'arbiter':
        for (const name of targets) pair.setArbiter(name, false)
        return () => targets.forEach((name) => void pair.setArbiter(name, true))
      case 'connections':
        for (const name of targets) for (const client of this.#target.clientsOf(name)) client.drop()
        return () => {}
      case 'command':
        return this.#command(targets[0]!, how)
    }
  }

  /** It comes and goes like a bad cable. */
  #flicker({ targets }: Fault): void {
    for (const name of targets) {
      if (!this.#flickers.chance(0.2)) continue
      this.#target.pair.disks.get(name)!.set(this.#flickers.chance(0.5) ? 'errors' : 'good')
    }
  }

  async #cutLink(how: string): Promise<Undo> {
    const { network } = this.#target.pair
    const lost = (from: NodeName): Traffic => {
      if (how === 'down') return from === 'castor' ? 'down' : 'open'
      if (how === 'slow') return 'slow'
      return how === 'silent' || how === `lost from ${from}` ? 'silent' : 'open'
    }
    for (const from of ['castor', 'pollux'] as const) await network.link(from, lost(from))
    return async () => {
      for (const from of ['castor', 'pollux'] as const) await network.link(from, 'open')
    }
  }

  async #cutPaths(targets: readonly NodeName[], how: string): Promise<Undo> {
    const { network } = this.#target.pair
    const requests: Traffic = how === 'requests lost' || how === 'silent' ? 'silent' : 'open'
    const replies: Traffic = how === 'replies lost' || how === 'silent' ? 'silent' : 'open'
    for (const name of targets) {
      if (how === 'down') await network.path(name, 'down', 'open')
      else if (how === 'slow') await network.path(name, 'slow', 'slow')
      else await network.path(name, requests, replies)
    }
    return async () => {
      for (const name of targets) await network.path(name, 'open', 'open')
    }
  }

  /** What an operator does meanwhile. It may be refused; it must neither hang nor break anything. */
  async #command(target: NodeName, how: string): Promise<Undo> {
    const { pair } = this.#target.pair
    const tell = async (...words: string[]) => {
      const { code, stdout, stderr } = await pair.command(...words)
      const said = (stderr || stdout).trim().split('\n').at(-1)
      this.#target.note(`  pollux ${words.join(' ')}: ${code === 0 ? 'done' : `${code}`} ${said}`)
    }
    if (!how.startsWith('cp')) {
      this.#commands.push(tell(how, target))
      return () => {}
    }
    if (how === 'cp now') {
      this.#commands.push(tell('cp', 'now', '--aggregate', target))
      return () => {}
    }
    await tell('cp', 'hold', '--aggregate', target)
    return () => tell('cp', 'resume', '--aggregate', target)
  }
}

/** Whichever node owns it when a hold is to end: held on one node, it ends there. */
export async function resumeAll({ pair }: SoakPair): Promise<void> {
  for (const node of ['castor', 'pollux'] as const) {
    for (const aggregate of [node, partnerOf(node)]) {
      const body = { action: 'resume', aggregate }
      await pair
        .control(node)
        .json('POST', '/cp', body)
        .catch(() => undefined)
    }
  }
}
