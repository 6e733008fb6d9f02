import t from 'tap'
import type { EngineStatus, StageTimes } from '../../../ts/node/messages.ts'
import { mustAsk, pairInSync, RawClient } from '../raw-client.ts'
import { block, NO_POINTS } from '../stories.ts'

t.test('an owner tells how long changes, flushes and consistency points have taken', async (t) => {
  const world = pairInSync(41, { durability: 'vault', ...NO_POINTS })
  const stages = (): StageTimes => (mustAsk(world, 'status', {}) as EngineStatus).stages!
  const client = new RawClient(world)
  const before = stages()
  for (let round = 0; round < 20; round += 1) client.write(round * 4096, block(round))
  client.flush()
  mustAsk(world, 'cp-now', {})
  const { write, flush, trees, map, diskFlush, superblock } = stages()
  t.equal(write.count - before.write.count, 20)
  t.ok(write.p50Us > 10, `a change waits for the partner: ${write.p50Us} us`)
  t.ok(write.maxUs >= write.p999Us && write.p999Us >= write.p50Us)
  t.equal(flush.count - before.flush.count, 1)
  t.ok(flush.maxUs > write.p50Us, `a flush waits for the vault: ${flush.maxUs} us`)
  for (const stage of [trees, map, diskFlush, superblock]) t.equal(stage.count, before.trees.count + 1)
  t.ok(diskFlush.maxUs > 0 && superblock.maxUs > 0, 'disks take their time')
})
