import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { SUPERBLOCK_COPIES_AT } from '../../../ts/disk/superblock.ts'
import { superblockSlot } from '../../../ts/format/superblock.ts'
import { check } from '../../../ts/volume/check.ts'
import { crashed } from '../../support/crash.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom, WriteLog } from '../../support/memory-world.ts'

t.setTimeout(600_000)

const SEEDS = Number(process.env['POLLUX_SEEDS'] ?? 3)
const BLOCKS_MAX = 2000

interface State {
  readonly world: MemoryWorld
  readonly disks: MemoryDisk[]
  readonly model: ImageModel
  readonly epoch: number
}

/** Destroys every copy of one superblock, as if its sectors had rotted. */
function loseSuperblock(disks: readonly MemoryDisk[], epoch: number, generation: number): void {
  const slotAt = MIB + superblockSlot(epoch, generation) * BLOCK_SIZE
  for (const disk of disks) {
    for (const copyAt of SUPERBLOCK_COPIES_AT)
      disk.bytes.fill(0xee, slotAt + copyAt, slotAt + copyAt + BLOCK_SIZE)
  }
}

/** Some consistency points on fresh disks. */
function begin(seed: number, random: SeededRandom): State {
  const world = new MemoryWorld(seed)
  const disks = makeDisks(world, seed % 2 === 0 ? [11 * MIB] : [10 * MIB, 9 * MIB])
  const image = openImage(world, disks)
  const log = new ChangeLog(world, image)
  const model = new ImageModel()
  for (let point = 0; point < 4; point += 1) {
    for (let step = 0; step < 40; step += 1) model.step(random, log, BLOCKS_MAX)
    log.commit(1)
  }
  image.close()
  return { world, disks, model, epoch: 1 }
}

interface Recording {
  readonly before: MemoryDisk[]
  readonly log: WriteLog
  readonly after: ImageModel
}

/** One more consistency point, with every write logged. */
function recorded(
  state: State,
  random: SeededRandom,
  image = openImage(state.world, state.disks),
): Recording {
  const { world, disks, model, epoch } = state
  const before = disks.map((disk) => disk.copy())
  const changes = new ChangeLog(world, image)
  const after = model.clone()
  for (let step = 0; step < 30; step += 1) after.step(random, changes, BLOCKS_MAX)
  const log = new WriteLog()
  for (const disk of disks) disk.log = log
  changes.commit(epoch)
  for (const disk of disks) disk.log = undefined
  return { before, log, after }
}

/** What is wrong after a crash: the image has to be exactly the old or the new one, and whole. */
function inspect(state: State, disks: MemoryDisk[], models: readonly ImageModel[]): string[] {
  const { world } = state
  const report = world.run(check(disks, world.memory))
  const image = openImage(world, disks)
  const differences = models.map((model) => model.differences(world, image))
  const used = image.space.used
  image.close()
  const found = report.problems.map(({ text }) => text)
  if (differences.every((each) => each.length > 0))
    found.push(...differences[0]!, 'and also', ...differences[1]!)
  if (used !== report.totals.used) found.push(`${used} blocks count as used, ${report.totals.used} are`)
  return found
}

/** A crash at each write of a consistency point, then another consistency point with a crash, and so on. */
function crashEverywhere(seed: number): { found: string[]; crashes: number } {
  const random = new SeededRandom(seed)
  const state = begin(seed, random)
  const { before, log, after } = recorded(state, random)
  const models = [after, state.model]
  let crashes = 0
  for (let count = 0; count <= log.events.length; count += 1) {
    for (let variant = 0; variant < 5; variant += 1) {
      const disks = crashed(before, state.disks, log, count, random)
      const found = inspect(state, disks, models)
      crashes += 1
      if (found.length > 0) return { found: [`crash after event ${count}`, ...found], crashes }
      if (!random.chance(0.2)) continue
      const again = crashAgain(state, disks, models, random)
      if (again.length > 0) return { found: [`second crash after event ${count}`, ...again], crashes }
    }
  }
  return { found: [], crashes }
}

function crashAgain(
  state: State,
  disks: MemoryDisk[],
  models: readonly ImageModel[],
  random: SeededRandom,
): string[] {
  const image = openImage(state.world, disks)
  const model = models.find((each) => each.differences(state.world, image).length === 0)!
  image.close()
  const next: State = { ...state, disks, model, epoch: state.epoch + 1 }
  const { before, log, after } = recorded(next, random)
  for (let tries = 0; tries < 4; tries += 1) {
    const torn = crashed(before, disks, log, random.below(log.events.length + 1), random)
    const found = inspect(next, torn, [after, model])
    if (found.length > 0) return found
  }
  return []
}

t.test('a crash at any write leaves the last generation or the new one, whole', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { found, crashes } = crashEverywhere(seed)
    t.same(found, [], `seed ${seed}`)
    t.ok(crashes > 40, `${crashes} crashes`)
  }
})

t.test('while a generation is being made, the two before it stay whole', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = new SeededRandom(100 + seed)
    const state = begin(seed, random)
    const image = openImage(state.world, state.disks)
    const first = recorded(state, random, image)
    const { epoch, generation } = image
    const second = recorded({ ...state, model: first.after }, random, image)
    const opened = new Set<number>()
    for (let count = 0; count <= second.log.events.length; count += 1) {
      const disks = crashed(second.before, state.disks, second.log, count, random)
      loseSuperblock(disks, epoch, generation)
      const older = openImage(state.world, disks)
      opened.add(older.generation - generation)
      const model = older.generation > generation ? second.after : state.model
      t.same(model.differences(state.world, older), [], `seed ${seed}, after event ${count}`)
      const report = state.world.run(check(disks, state.world.memory))
      t.same(report.totals.used, older.space.used, 'its free space is known, from its map or from its trees')
      older.close()
    }
    t.same([...opened], [-1, 1], 'both generations were opened')
  }
})

t.test('a crash model that loses everything unflushed is not always the new generation', async (t) => {
  const random = new SeededRandom(77)
  const state = begin(2, random)
  const { before, log, after } = recorded(state, random)
  const image = openImage(state.world, crashed(before, state.disks, log, 1, random))
  t.not(after.differences(state.world, image).length, 0)
  t.same(state.model.differences(state.world, image), [])
})
