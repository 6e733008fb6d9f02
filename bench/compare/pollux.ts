import { join } from 'node:path'
import { MIB } from '../../ts/base/units.ts'
import { exactByteLengthText } from '../../ts/config/quantities.ts'
import { BenchPair } from './bench-pair.ts'
import { attachLoop } from './loop.ts'
import { addAggregates } from './more-aggregates.ts'
import type { Server, ServerOptions } from './server.ts'

/** Of a disk, for what is not blocks: above all the vault, which has twice the log of 128 MiB. */
const BESIDES_BYTES = 512 * MIB

const whatSurvives = {
  pair: 'in the memory of two nodes',
  vault: 'in the memory of two nodes; on disk once flushed',
} as const

/** A pair with one plex, or with two: its files are made, and what `up` has no option for is changed then. */
export async function startPollux({ directory, byteLength, pollux }: ServerOptions): Promise<Server> {
  const { durability, isApart = false, isOnDevices = false, logByteLength, cacheByteLength } = pollux
  const { diskFactor, hasMoreAggregates = false } = pollux
  const pair = new BenchPair(join(directory, 'pair'))
  const size = ['--size', exactByteLengthText(byteLength), '--durability', durability]
  const log = logByteLength === undefined ? [] : ['--log-size', exactByteLengthText(logByteLength)]
  const diskByteLength = diskFactor === undefined ? undefined : diskFactor * byteLength + BESIDES_BYTES
  const disk = diskByteLength === undefined ? [] : ['--disk-size', exactByteLengthText(diskByteLength)]
  await pair.up(...size, ...log, ...disk, ...(isApart ? [] : ['--shared']))
  const devices: string[] = []
  let note = ''
  if (isOnDevices || hasMoreAggregates || cacheByteLength !== undefined) {
    await pair.down()
    if (hasMoreAggregates) await addAggregates(pair, directory)
    if (isOnDevices) note = putOnDevices(pair, devices)
    pair.stopAtEnd()
    if (cacheByteLength !== undefined) setCache(pair, cacheByteLength)
    await pair.up()
  }
  await pair.inSync()
  return {
    kind: 'pollux',
    name: `pollux ${durability}`,
    durability: `${whatSurvives[durability]}${isApart ? ', two plexes' : ''}`,
    target: { uri: pair.uri },
    pids: pair.pids,
    settle: () => pair.cp('now'),
    check: () => pair.mustBeWhole(),
    pair,
    devices,
    ...(note === '' ? {} : { note }),
  }
}

function setCache(pair: BenchPair, byteLength: number): void {
  pair.edit((file) => {
    for (const aggregate of file.aggregate) aggregate.cache_size = exactByteLengthText(byteLength)
  })
}

/** Puts a loop device over each file of the pair's disks, and lists them. Returns why not, or nothing. */
function putOnDevices(pair: BenchPair, made: string[]): string {
  const devices = new Map<string, string>()
  let reason = ''
  const deviceOf = (path: string): string => {
    const known = devices.get(path)
    if (known !== undefined) return known
    const loop = attachLoop(path)
    if ('reason' in loop) reason = loop.reason
    else made.push(loop.device)
    const device = 'device' in loop ? loop.device : path
    devices.set(path, device)
    return device
  }
  pair.edit((file) => {
    for (const aggregate of file.aggregate) {
      if (aggregate.disks !== 'partner') aggregate.disks = aggregate.disks.map(deviceOf)
      const { mirror } = aggregate
      if (mirror !== undefined && mirror !== 'partner') aggregate.mirror = mirror.map(deviceOf)
    }
  })
  return reason === '' ? '' : `pollux: files in place of loop devices: ${reason}`
}
