import t from 'tap'
import * as units from '../../../ts/base/units.ts'

t.test('bytes and blocks', async (t) => {
  t.same([units.KIB, units.MIB, units.GIB, units.TIB], [2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40])
  t.equal(units.blocksToBytes(3), 12_288)
  t.same([0, 1, 4096, 4097].map(units.bytesToBlocksUp), [0, 1, 1, 2])
})

t.test('rounding works beyond 32 bits', async (t) => {
  const large = 2 ** 44 + 5
  t.same([units.roundDown(large, 4096), units.roundUp(large, 4096)], [2 ** 44, 2 ** 44 + 4096])
  t.same([units.roundUp(8192, 4096), units.roundDown(8192, 4096)], [8192, 8192])
  t.ok(units.isMultiple(2 ** 44, 512))
  t.notOk(units.isMultiple(large, 512))
})

t.test('a number up to 2^53 travels as two words', async (t) => {
  for (const value of [0, 1, 0xffff_ffff, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER]) {
    const [low, high] = [units.lowWord(value), units.highWord(value)]
    t.ok(low <= 0xffff_ffff && high < 2 ** 21 && low >= 0, `${value} has two words`)
    t.equal(units.fromWords(low, high), value)
  }
  t.equal(units.fromWords(-1, 0), 0xffff_ffff, 'a word read as signed is the same word')
})
