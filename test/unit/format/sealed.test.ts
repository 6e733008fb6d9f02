import t from 'tap'
import { judgeSeal, seal } from '../../../ts/format/sealed.ts'

const magic = 0x4c58_4c50

function sealed(): Uint8Array {
  const block = Uint8Array.from({ length: 128 }, (_, i) => (i * 7) & 255)
  new DataView(block.buffer).setUint32(0, magic, true)
  new DataView(block.buffer).setUint32(4, 1, true)
  seal(block)
  return block
}

t.test('a sealed structure is good, wherever it lies in its buffer', async (t) => {
  t.equal(judgeSeal(sealed(), magic, 1), 'good')
  const larger = new Uint8Array(200)
  larger.set(sealed(), 40)
  t.equal(judgeSeal(larger.subarray(40, 168), magic, 1), 'good')
})

t.test('what is not ours, not written yet, or of another version is told apart', async (t) => {
  t.equal(judgeSeal(new Uint8Array(128), magic, 1), 'blank')
  t.equal(judgeSeal(sealed(), magic + 1, 1), 'foreign')
  t.equal(judgeSeal(sealed(), magic, 2), 'version')
  const almostBlank = new Uint8Array(128)
  almostBlank[127] = 1
  t.equal(judgeSeal(almostBlank, magic, 1), 'foreign')
})

t.test('a flip of any bit is noticed', async (t) => {
  for (let bit = 0; bit < 128 * 8; bit += 1) {
    const block = sealed()
    block[bit >> 3]! ^= 1 << (bit & 7)
    if (judgeSeal(block, magic, 1) === 'good') t.fail(`bit ${bit} was not noticed`)
  }
  t.pass('all were')
})
