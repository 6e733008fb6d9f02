import t from 'tap'
import { MIB } from '../../../ts/base/units.ts'
import { consistencyPoint } from '../../../ts/consistency-point/consistency-point.ts'
import { ANY_GENERATION, Pins } from '../../../ts/plex/pins.ts'
import { ChangeLog, node } from '../../support/image-world.ts'
import { MemoryWorld, WriteLog } from '../../support/memory-world.ts'
import { makePlexes, openMirror } from '../../support/mirror-world.ts'

t.test('what the newest generation reaches may be copied while the next one is written', async (t) => {
  const pins = new Pins()
  t.ok(pins.mayOverwrite(7), 'nothing is copied')
  pins.pin(7)
  t.ok(pins.mayOverwrite(7))
})

t.test('the consistency point after that waits until the copy has ended', async (t) => {
  const pins = new Pins()
  pins.pin(7)
  t.notOk(pins.mayOverwrite(8), 'it may use blocks again that only generation 7 reaches')
  pins.unpin(7)
  t.ok(pins.mayOverwrite(8))
})

t.test('each of several copies counts by itself', async (t) => {
  const pins = new Pins()
  for (const generation of [7, 8, 7]) pins.pin(generation)
  pins.unpin(7)
  t.notOk(pins.mayOverwrite(8), 'another one of the same generation is under way')
  pins.unpin(7)
  t.ok(pins.mayOverwrite(8))
  t.notOk(pins.mayOverwrite(9))
})

t.test('a block of which only the content is known keeps every consistency point waiting', async (t) => {
  const pins = new Pins()
  pins.pin(ANY_GENERATION)
  t.notOk(pins.mayOverwrite(0))
  t.notOk(pins.mayOverwrite(1))
  pins.unpin(ANY_GENERATION)
  t.ok(pins.mayOverwrite(1))
})

t.test('a consistency point that has to wait writes nothing until then', async (t) => {
  const world = new MemoryWorld()
  const plexes = makePlexes(world)
  const image = openMirror(world, plexes)
  const log = new ChangeLog(world, image)
  const volume = log.create('vol0', MIB)
  log.commit()
  const { pins } = image.copies
  pins.pin(image.generation)
  log.write(volume, 1, 1)
  log.commit()
  log.write(volume, 1, 2)
  const { changes, directory } = log.freeze()
  const writes = new WriteLog()
  for (const [disk] of plexes) disk!.log = writes
  const options = { epoch: 1, node, wallMs: 1, stillOwner: () => true }
  const point = consistencyPoint(image, changes, directory, options)
  let isDone = false
  const turn = (): void => {
    isDone ||= point.next().done === true
    image.cache.submit()
    world.turn()
  }
  for (let turns = 0; turns < 200; turns += 1) turn()
  t.same([isDone, writes.events.length], [false, 0])
  pins.unpin(image.generation - 1)
  for (let turns = 0; turns < 200 && !isDone; turns += 1) turn()
  t.ok(isDone && writes.events.length > 0)
})
