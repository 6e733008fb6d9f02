import t from 'tap'
import { BLOCK_SIZE, MIB } from '../../../ts/base/units.ts'
import { ChangeLog, makeDisks, openImage, readBlock, stamp } from '../../support/image-world.ts'
import { MemoryWorld } from '../../support/memory-world.ts'

const expected = new Uint8Array(BLOCK_SIZE)

t.test('what one consistency point wrote is there after opening again', async (t) => {
  const world = new MemoryWorld()
  const disks = makeDisks(world, [64 * MIB])
  const log = new ChangeLog(world, openImage(world, disks))
  const volume = log.create('vol0', 512 * MIB)
  const blocks = [0, 1, 255, 256, 70_000, 131_071]
  for (const block of blocks) t.ok(log.write(volume, block, 1))
  const published = log.commit()
  t.equal(published.generation, 2)
  t.equal(published.dataBlocks, blocks.length + 1)
  const again = openImage(world, disks)
  t.equal(again.generation, 2)
  t.equal(again.lastSequence, log.sequence)
  t.equal(again.directory.get(volume)?.mappedBlocks, blocks.length)
  for (const block of blocks) {
    stamp(expected, volume, block, 1)
    t.same(readBlock(world, again, volume, block), expected, `block ${block}`)
  }
  t.equal(readBlock(world, again, volume, 2), undefined)
  t.equal(again.space.used, published.dataBlocks + published.metadataBlocks)
})
