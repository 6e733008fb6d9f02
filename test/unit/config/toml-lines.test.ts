import t from 'tap'
import { lineOf, pathText } from '../../../ts/config/toml-lines.ts'

const text = `# settings
pair = "x"

[node]
name = "castor"
link.speed = 3

[[aggregate]]
name = "one"
  [[ aggregate ]]
"name" = "two"
`

t.test('a key is found in its own table', async (t) => {
  t.equal(lineOf(text, ['pair']), 2)
  t.equal(lineOf(text, ['node']), 4)
  t.equal(lineOf(text, ['node', 'name']), 5)
  t.equal(lineOf(text, ['node', 'link', 'speed']), 6)
  t.equal(lineOf(text, ['aggregate', 0, 'name']), 9)
  t.equal(lineOf(text, ['aggregate', 1, 'name']), 11)
})

t.test(
  'for a key that is not there, or an element of a list, the nearest line around it is the answer',
  async (t) => {
    t.equal(lineOf(text, ['node', 'identity']), 4)
    t.equal(lineOf(text, ['aggregate', 1, 'home']), 10)
    t.equal(lineOf(text, ['aggregate', 0, 'name', 3]), 9)
    t.equal(lineOf(text, ['arbiter']), undefined)
  },
)

t.test('a path is written as people would', async (t) => {
  t.equal(pathText(['aggregate', 1, 'disks', 0]), 'aggregate[1].disks[0]')
  t.equal(pathText([]), '')
})
