import t from 'tap'
import { Oracle } from '../../support/oracle.ts'

// with these seeds the first writers take every block before the others have chosen
for (const seed of [5, 25, 58]) {
  t.test(`a writer that finds all blocks in flight waits for answers (seed ${seed})`, async (t) => {
    const oracle = new Oracle({ uri: 'nbd://127.0.0.1:1/nobody', blockCount: 64, seed, patienceMs: 50 })
    oracle.start(16)
    t.pass('and leaves the others their turn')
    await t.rejects(oracle.settled(), /is out of reach/)
  })
}
