import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { readPairFile } from '../../ts/cli/pair-file.ts'
import { freePorts } from '../../ts/cli/pair-ports.ts'
import { type BenchPair, nodeNames } from './bench-pair.ts'

/** Aggregates of a pair with one more on each node, at home on the nodes by turns; a volume for each. */
export const places: readonly { readonly aggregate: string; readonly volume: string }[] = [
  ...nodeNames.map((aggregate, index) => ({ aggregate, volume: `vol${index}` })),
  ...nodeNames.map((home, index) => ({
    aggregate: secondOf(home),
    volume: `vol${nodeNames.length + index}`,
  })),
]

function secondOf(home: string): string {
  return `${home}-2`
}

/** One more aggregate on each node, like the first, on a disk of its own. The pair must be down. */
export async function addAggregates(pair: BenchPair, directory: string): Promise<void> {
  const { diskByteLength } = readPairFile(pair.dir)!
  const ports = await freePorts(nodeNames.length)
  for (const [index, home] of nodeNames.entries()) {
    const name = secondOf(home)
    const disk = join(directory, `${name}.disk`)
    execFileSync('fallocate', ['-l', String(diskByteLength), disk])
    const own = { name, identity: randomUUID(), disks: [disk], service: `127.0.0.1:${ports[index]}` }
    pair.edit((file) => {
      const first = file.aggregate.find((aggregate) => aggregate.name === home)!
      file.aggregate.push({ ...first, ...own })
    })
    await pair.format(name, disk)
  }
}
