import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { MIB } from '../../../ts/base/units.ts'
import { checkPlexes } from '../../../ts/volume/check-plexes.ts'
import type { Image } from '../../../ts/volume/image.ts'
import { begun, withAdded } from '../../support/added-disks.ts'
import { crashed } from '../../support/crash.ts'
import { ImageModel } from '../../support/image-model.ts'
import { ChangeLog, makeDisks, openImage } from '../../support/image-world.ts'
import { type MemoryDisk, MemoryWorld, SeededRandom, WriteLog } from '../../support/memory-world.ts'
import { makePlexes, openMirror } from '../../support/mirror-world.ts'

t.setTimeout(600_000)

const SEEDS = Number(process.env['POLLUX_SEEDS'] ?? 2)
const BLOCKS_MAX = 1500
const ADDED_BYTES = 9 * MIB

type Plexes = readonly (readonly MemoryDisk[])[]

/** An aggregate that has data on the disks of its plexes, and more disks that are labelled for them. */
class Grown {
  readonly world: MemoryWorld
  readonly random: SeededRandom
  readonly model = new ImageModel()
  readonly plexes: Plexes
  readonly longer: Plexes

  constructor(seed: number, isMirrored: boolean) {
    this.world = new MemoryWorld(seed)
    this.random = new SeededRandom(seed)
    const sizes = seed % 2 === 0 ? [11 * MIB] : [10 * MIB, 9 * MIB]
    this.plexes = isMirrored ? makePlexes(this.world, sizes) : [makeDisks(this.world, sizes)]
    const image = this.open(this.plexes)
    this.fill(image, this.model)
    image.close()
    this.longer = this.plexes.map((disks, plex) => withAdded(this.world, plex, disks, ADDED_BYTES))
  }

  open(plexes: Plexes): Image {
    if (plexes.length === 1) return openImage(this.world, [...plexes[0]!])
    return openMirror(this.world, plexes)
  }

  fill(image: Image, model: ImageModel, epoch = 1): void {
    const log = new ChangeLog(this.world, image)
    for (let point = 0; point < 3; point += 1) {
      for (let step = 0; step < 30; step += 1) model.step(this.random, log, BLOCKS_MAX)
      log.commit(epoch)
    }
  }

  /** The first opening with the longer lists and its first consistency point, with every write logged. */
  record(): { before: MemoryDisk[]; log: WriteLog; after: ImageModel } {
    const all = this.longer.flat()
    const before = all.map((disk) => disk.copy())
    const log = new WriteLog()
    for (const disk of all) disk.log = log
    const image = begun(this.world, this.open(this.longer))
    const changes = new ChangeLog(this.world, image)
    const after = this.model.clone()
    for (let step = 0; step < 30; step += 1) after.step(this.random, changes, BLOCKS_MAX)
    changes.commit(2)
    image.close()
    for (const disk of all) disk.log = undefined
    return { before, log, after }
  }

  /** The same disks of a crash, by plex. */
  byPlex(disks: readonly MemoryDisk[], isShort = false): Plexes {
    const count = this.longer[0]!.length
    const counted = isShort ? count - 1 : count
    return this.longer.map((_, plex) => disks.slice(plex * count, plex * count + counted))
  }

  /** What is wrong with an image that must be one of these, exactly. */
  differences(image: Image, models: readonly ImageModel[]): string[] {
    const found = models.map((model) => model.differences(this.world, image))
    return found.every((each) => each.length > 0) ? found[0]! : []
  }

  problems(plexes: Plexes): string[] {
    const report = this.world.run(checkPlexes(plexes.flat(), this.world.memory))
    const found = report.problems.map(({ text }) => text)
    return plexes.length === 2 && report.equal !== true ? [...found, `not equal: ${report.notes}`] : found
  }
}

/** With the old lists, there is the old image, whole, or a refusal that names the remedy. */
function oldLists(grown: Grown, disks: readonly MemoryDisk[]): { found: string[]; isRefused: boolean } {
  let image: Image
  try {
    image = grown.open(
      grown.byPlex(
        disks.map((disk) => disk.copy()),
        true,
      ),
    )
  } catch (error) {
    if (isStoreError(error) && /missing (from|to) the list|add those that are missing/.test(error.message))
      return { found: [], isRefused: true }
    throw error
  }
  const found = grown.differences(image, [grown.model])
  image.close()
  return { found, isRefused: false }
}

/** With the new lists, there is the old image or the new one, and it goes on from there, on the new disks. */
function newLists(grown: Grown, disks: readonly MemoryDisk[], after: ImageModel): string[] {
  const plexes = grown.byPlex(disks)
  const image = begun(grown.world, grown.open(plexes))
  const found = grown.differences(image, [after, grown.model])
  if (found.length > 0) return found
  const isNew = after.differences(grown.world, image).length === 0
  const model = (isNew ? after : grown.model).clone()
  grown.fill(image, model, 3)
  image.close()
  const again = grown.open(plexes)
  found.push(...grown.differences(again, [model]))
  if (again.isGrowing) found.push('the disks do not count after a consistency point')
  again.close()
  return [...found, ...grown.problems(plexes)]
}

for (const isMirrored of [false, true]) {
  const what = isMirrored ? 'both plexes get a disk' : 'a disk is added'
  t.test(`${what}: after a crash at each write there is the old image or the new one`, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const grown = new Grown(seed, isMirrored)
      const { before, log, after } = grown.record()
      const refusals: boolean[] = []
      for (let count = 0; count <= log.events.length; count += 1) {
        const disks = crashed(before, grown.longer.flat(), log, count, grown.random)
        const { found, isRefused } = oldLists(grown, disks)
        refusals.push(isRefused)
        t.same([...found, ...newLists(grown, disks, after)], [], `seed ${seed}, crash after event ${count}`)
      }
      t.notOk(refusals[0], 'before anything was written, the old lists still serve')
      t.ok(refusals.at(-1), 'in the end they do not')
    }
  })
}
