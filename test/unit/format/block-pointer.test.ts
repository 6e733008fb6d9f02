import t from 'tap'
import {
  heightFor,
  POINTER_BYTES,
  POINTER_WORDS,
  POINTERS_PER_BLOCK,
  POINTERS_SHIFT,
} from '../../../ts/format/block-pointer.ts'

t.test('a block holds 256 pointers', async (t) => {
  t.same([POINTERS_PER_BLOCK, 2 ** POINTERS_SHIFT, POINTER_BYTES], [256, 256, POINTER_WORDS * 4])
})

t.test('a tree is as high as its blocks need', async (t) => {
  const heights = [0, 1, 2, 256, 257, 65_536, 65_537, 2 ** 24, 2 ** 24 + 1, 2 ** 32]
  t.same(heights.map(heightFor), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
})
