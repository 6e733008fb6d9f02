import t from 'tap'
import {
  AGGREGATE_BLOCKS_MAX,
  MAPPED_BLOCKS_MAX,
  mapBlocksFor,
  mapIndexBlocksFor,
} from '../../../ts/format/free-map.ts'

t.test('the map has a bit for every block and the index an entry for every map block', async (t) => {
  t.same([1, 32_768, 32_769, 2 ** 32].map(mapBlocksFor), [1, 1, 2, 131_072])
  t.same([1, 2 ** 24, 2 ** 24 + 1, 2 ** 32].map(mapIndexBlocksFor), [1, 1, 2, 256])
})

t.test('the largest aggregate fits into the index of a superblock', async (t) => {
  t.ok(MAPPED_BLOCKS_MAX >= AGGREGATE_BLOCKS_MAX)
})
