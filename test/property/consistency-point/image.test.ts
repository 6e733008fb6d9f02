import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { check } from '../../../ts/volume/check.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom } from '../../support/memory-world.ts'

t.setTimeout(600_000)

const SEEDS = Number(process.env['POLLUX_SEEDS'] ?? 6)

function workload(seed: number, diskBytes: readonly number[], blocksMax: number): string[] {
  const random = new SeededRandom(seed)
  const world = new MemoryWorld(seed)
  const disks: MemoryDisk[] = makeDisks(world, diskBytes)
  const model = new ImageModel()
  let epoch = 1
  let image = openImage(world, disks)
  let log = new ChangeLog(world, image)
  const found: string[] = []
  for (let point = 0; point < 12 && found.length === 0; point += 1) {
    for (let step = random.below(150); step >= 0; step -= 1) model.step(random, log, blocksMax)
    const { sequence } = log
    log.commit(epoch)
    if (random.chance(0.5)) {
      image.close()
      epoch += 1
      image = openImage(world, disks)
      log = new ChangeLog(world, image)
    }
    if (image.lastSequence !== sequence) found.push(`it contains ${image.lastSequence}, not ${sequence}`)
    found.push(...model.differences(world, image))
    const report = world.run(check(disks, world.memory))
    found.push(...report.problems.map(({ text }) => text))
    if (image.space.used !== report.totals.used)
      found.push(`${image.space.used} used, not ${report.totals.used}`)
  }
  return found
}

t.test('an image holds exactly what was written, whatever the changes were', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    t.same(workload(seed, [32 * MIB], 3000), [], `small volumes, seed ${seed}`)
    t.same(workload(1000 + seed, [24 * MIB, 16 * MIB], 400_000), [], `two disks, large volumes, seed ${seed}`)
  }
})

t.test('a full aggregate refuses writes, and never fails a consistency point', async (t) => {
  const world = new MemoryWorld(5)
  const disks = makeDisks(world, [12 * MIB])
  const image = openImage(world, disks)
  const log = new ChangeLog(world, image)
  const random = new SeededRandom(9)
  const volume = log.create('vol0', 64 * MIB)
  const written = new Set<number>()
  let refused = 0
  for (let point = 0; point < 40; point += 1) {
    for (let step = 0; step < 120; step += 1) {
      const block = random.below((64 * MIB) / BLOCK_SIZE)
      if (log.write(volume, block, point)) written.add(block)
      else refused += 1
    }
    log.commit()
  }
  t.ok(refused > 100, 'it has become full')
  t.equal(image.directory.get(volume)?.mappedBlocks, written.size)
  t.ok(log.zeroRange(volume, 0, (64 * MIB) / BLOCK_SIZE), 'a full aggregate can be trimmed')
  for (let point = 0; point < 3; point += 1) log.commit()
  t.equal(image.directory.get(volume)?.mappedBlocks, 0)
  t.ok(log.write(volume, 1, 1), 'and has space again')
  log.commit()
  t.same(world.run(check(disks, world.memory)).problems, [])
})
