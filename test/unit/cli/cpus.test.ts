import { availableParallelism } from 'node:os'
import t from 'tap'
import { allowedCpus, cpusInList } from '../../../ts/cli/cpus.ts'

t.test('a list of CPUs is read as the kernel writes it', async (t) => {
  t.same(cpusInList('0'), [0])
  t.same(cpusInList('0-1'), [0, 1])
  t.same(cpusInList('2-3,5,8-9'), [2, 3, 5, 8, 9])
})

t.test('a process may run on some CPU', async (t) => {
  const cpus = allowedCpus()
  t.ok(cpus.length >= availableParallelism(), `${cpus}`)
  t.ok(cpus.every((cpu) => Number.isInteger(cpu) && cpu >= 0))
})
