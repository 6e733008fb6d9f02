import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import t from 'tap'
import { connect, NbdReplyError } from '../support/nbd-client.ts'
import { Pair } from '../support/pair.ts'
import { stamped } from '../support/stamps.ts'

const BLOCK = 4096
const BLOCKS = 256
const contentOf = (block: number, version = 1): Buffer => stamped(9, block * 8, 8, version)

/** Flips a bit of what a disk holds, past the node that uses it. */
function rot(disk: string, content: Buffer): void {
  const at = readFileSync(disk).indexOf(content)
  if (at < 0) throw new Error(`${disk} does not hold that block`)
  const descriptor = openSync(disk, 'r+')
  writeSync(descriptor, Buffer.from([content[7]! ^ 1]), 0, 1, at + 7)
  fsyncSync(descriptor)
  closeSync(descriptor)
}

t.test('a scrub finds the blocks that have rotted, and no other client notices', async (t) => {
  const pair = await Pair.start(t, { size: '64MiB' })
  const client = await connect(pair.uri('vol0'))
  for (let block = 0; block < BLOCKS; block += 1) await client.write(block * BLOCK, contentOf(block))
  await pair.mustCommand('cp', 'now')

  const whole = await pair.command('aggregate', 'scrub', '--rate', '1GiB')
  t.equal(whole.code, 0, whole.stderr)
  t.match(whole.stdout, /^castor: finished, .* read in .*, 0 findings$/m)
  t.match(whole.stdout, /^pollux: finished/m, 'all aggregates are meant if none is named')

  const rotten = [3, 200]
  for (const block of rotten) rot(pair.disks('castor')[0]!, contentOf(block))
  const found = await pair.command('aggregate', 'scrub', 'castor', '--json')
  t.equal(found.code, 1, 'damage is a failure of the command')
  t.match(found.stderr, /not everything checks in castor/)
  const { scrubs } = JSON.parse(found.stdout) as { scrubs: { findings: { where: string }[] }[] }
  t.match(
    scrubs[0]!.findings.map(({ where }) => where),
    rotten.map((block) => new RegExp(`^volume vol0, block ${block} \\(data`)),
  )
  for (let block = 0; block < BLOCKS; block += 1) {
    if (!rotten.includes(block)) t.ok((await client.read(block * BLOCK, BLOCK)).equals(contentOf(block)))
    else await t.rejects(client.read(block * BLOCK, BLOCK), NbdReplyError, `block ${block}`)
  }

  for (const block of rotten) await client.write(block * BLOCK, contentOf(block, 2))
  await pair.mustCommand('cp', 'now')
  t.equal((await pair.command('aggregate', 'scrub', 'castor')).code, 0, 'written again, they are good')
  await client.close()
})

t.test('a scrub keeps to its rate, and can be stopped', async (t) => {
  const pair = await Pair.start(t, { size: '64MiB' })
  const client = await connect(pair.uri('vol0'))
  await client.write(0, Buffer.alloc(16 * 1024 * 1024, 7))
  await pair.mustCommand('cp', 'now')
  await pair.mustCommand('aggregate', 'scrub', 'castor', '--rate', '1MiB/s', '--detach')
  t.equal((await pair.engine('castor', 'castor')).scrub?.state, 'running')
  await pair.mustCommand('aggregate', 'scrub', 'castor', '--stop')
  const { scrub } = await pair.engine('castor', 'castor')
  t.equal(scrub?.state, 'stopped')
  t.ok(scrub!.readByteLength < 8 * 1024 * 1024, `${scrub!.readByteLength} bytes were read`)
  const wrong = await pair.command('aggregate', 'scrub', 'castor', '--rate', 'fast')
  t.equal(wrong.code, 2)
  t.match(wrong.stderr, /--rate: "fast" is not a size/)
  await client.close()
})
