import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stringify } from 'smol-toml'
import t, { type Test } from 'tap'
import { MIB } from '../../ts/base/units.ts'
import type { NodeFile } from '../../ts/config/schema.ts'
import { mustPollux, pollux, scratch } from '../support/program.ts'

type Aggregate = NodeFile['aggregate'][number]

const identity = (digit: string): string => digit.repeat(32)

/** Settings of a node whose aggregate has two plexes of one disk each, and the disks, blank. */
function mirrored(t: Test) {
  const dir = scratch(t)
  const disks = ['first', 'second'].map((name) => path.join(dir, name)) as [string, string]
  for (const disk of disks) writeFileSync(disk, '')
  truncateSync(disks[0], 32 * MIB)
  truncateSync(disks[1], 40 * MIB)
  const config = path.join(dir, 'castor.toml')
  const settings = {
    pair: identity('a'),
    node: { name: 'castor', identity: identity('1') },
    partner: { name: 'pollux', identity: identity('2'), link: '127.0.0.1:20002' },
    nvram: { directory: path.join(dir, 'nvram') },
    arbiter: { kind: 'file', directory: path.join(dir, 'arbiter') },
    link: { listen: '127.0.0.1:20001' },
    api: { socket: path.join(dir, 'castor.sock') },
    aggregate: [
      {
        name: 'castor',
        identity: identity('3'),
        home: 'castor',
        disks: [disks[0]],
        mirror: [disks[1]],
        service: '127.0.0.1:10809',
        log_size: '1MiB',
      },
    ],
  }
  writeFileSync(config, stringify(settings))
  const label = (...args: string[]) =>
    pollux(['disk', 'label', '--config', config, '--aggregate', 'castor', ...args])
  const change = (how: Partial<Aggregate>): void => {
    Object.assign(settings.aggregate[0]!, how)
    writeFileSync(config, stringify(settings))
  }
  return { disks, label, change }
}

t.test('both plexes of an aggregate are labelled together, and found equal', async (t) => {
  const { disks, label } = mirrored(t)
  const partial = await label(disks[1])
  t.equal(partial.code, 2)
  t.match(partial.stderr, /label all of them, and no other, or with --plex 1 only those of plex 1/)
  const labelled = await label(...disks)
  t.equal(labelled.code, 0, labelled.stderr)
  t.match(labelled.stdout, /second is a disk of plex 1 of aggregate castor now/)
  const { stdout } = await mustPollux(['check', ...disks])
  t.match(stdout, /aggregate castor: good; epoch 0, generation 1\n.*\n +plex 0 and plex 1 are equal\n/)
  const listed = JSON.parse((await mustPollux(['disk', 'list', ...disks, '--json'])).stdout)
  t.match(listed, { disks: [{ plex: 0 }, { plex: 1, found: 'disk 1 of 1 in plex 1' }] })
})

t.test('a new disk takes the place of one plex, and is empty until it is filled', async (t) => {
  const { disks, label } = mirrored(t)
  t.equal((await label(...disks)).code, 0)
  const before = readFileSync(disks[0])
  const refused = await label('--plex', '1', disks[1])
  t.equal(refused.code, 1)
  t.match(
    refused.stderr,
    /second is labelled already, as disk 1 of 1 in plex 1 of aggregate castor; .*--force/,
  )
  t.equal((await label('--plex', '0', disks[1], '--force')).code, 2, 'it is a disk of the other plex')
  t.equal((await label('--plex', '1', disks[1], '--force')).code, 0)
  t.ok(readFileSync(disks[0]).equals(before))
  const checked = await mustPollux(['check', ...disks])
  t.match(checked.stdout, /plex 1 is empty: it has no superblock yet, and is to be filled/)
  const alone = await pollux(['check', disks[1]])
  t.equal(alone.code, 1)
  t.match(alone.stderr, /there is no valid superblock/)
  truncateSync(disks[1], 0)
  truncateSync(disks[1], 24 * MIB)
  t.match(
    (await label('--plex', '1', disks[1])).stderr,
    /has 25165824 bytes, and its mirror .* uses 33554432;/,
  )
})

t.test('plexes on two hosts are labelled one by one, laid out alike', async (t) => {
  const { disks, label, change } = mirrored(t)
  change({ disks: [disks[0]], mirror: 'partner' })
  const theirs = await label('--plex', '1', disks[0])
  t.equal(theirs.code, 2)
  t.match(theirs.stderr, /plex 1 of aggregate castor is attached to pollux: label it there/)
  const first = await label(disks[0])
  t.equal(first.code, 0, first.stderr)
  const size = /plex 1, on pollux, must be laid out alike: --size (\S+)$/m.exec(first.stdout)?.[1]
  t.equal(size, '32MiB')
  change({ disks: 'partner', mirror: [disks[1]] })
  const refused = await label(disks[1])
  t.equal(refused.code, 2)
  t.match(
    refused.stderr,
    /plex 0 of aggregate castor is attached to pollux, and its home is castor; .*--plex/,
  )
  change({ home: 'pollux' })
  t.equal((await label(disks[1], '--size', '1MiB,2MiB')).code, 2)
  const second = await label(disks[1], '--size', size!)
  t.equal(second.code, 0, second.stderr)
  const { stdout } = await mustPollux(['check', ...disks])
  t.match(stdout, /aggregate castor: good; epoch 0, generation 1\n/)
  t.match(stdout, /plex 1 is empty: it has no superblock yet, and is to be filled/)
  // a new disk of plex 0 has to be filled, too: no image of its own
  change({ disks: [disks[0]], mirror: 'partner' })
  t.equal((await label('--plex', '0', disks[0], '--force')).code, 0)
  t.match((await pollux(['check', disks[0]])).stderr, /there is no valid superblock/)
})
