import t from 'tap'
import { summarize } from '../../../ts/cli/pair-status.ts'
import { statusText } from '../../../ts/cli/status-text.ts'
import type { PlexStatus } from '../../../ts/node/messages.ts'
import { answered, engine, serving, silent } from '../../support/statuses.ts'

const well = () =>
  summarize('/x', [
    answered('castor', [serving('castor'), engine('pollux')]),
    answered('pollux', [engine('castor'), serving('pollux')]),
  ])

t.test('status is three tables whose columns stand under their titles', async (t) => {
  const lines = statusText(well()).split('\n')
  t.equal(lines[0], 'pair in /x')
  const [head, first] = lines.slice(2, 4) as [string, string]
  for (const [title, cell] of [
    ['NODE', 'castor'],
    ['STATE', 'running'],
    ['PID', '11'],
    ['NBD', '127.0.0.1:1001'],
    ['TAKEOVER', 'yes'],
  ] as const) {
    t.equal(first.indexOf(cell), head.indexOf(title), title)
  }
  const text = lines.join('\n')
  t.match(text, /castor +castor +castor +1 +in-sync +25 % +4 idle +1 MiB of 1 GiB/)
  t.match(text, /castor-volume +64 MiB +4 KiB +castor +nbd:\/\/127.0.0.1:1001\/castor-volume/)
})

t.test('what is wrong is said in words', async (t) => {
  const text = statusText(
    summarize('/x', [silent('castor', 'it is gone'), answered('pollux', [engine('castor')])]),
  )
  t.match(text, /castor: it is gone/)
  t.match(text, /aggregate castor is not served: pollux: castor owns castor/)
  t.match(text, /no, because castor|no, because it owns nothing/)
  t.notMatch(statusText(well()), /not served|gone/)
})

t.test('a failed consistency point is shown where it is looked for', async (t) => {
  const { consistencyPoint } = engine('castor')
  const failing = serving('castor', {
    consistencyPoint: { ...consistencyPoint, failure: 'the disk is full' },
  })
  const status = summarize('/x', [answered('castor', [failing]), silent('pollux')])
  t.match(statusText(status), /4 idle, failed: the disk is full/)
})

t.test('rates are what has changed since the look before', async (t) => {
  const { counters } = engine('castor')
  const busy = { ...counters, reads: 500, writes: 1000, readByteLength: 2 ** 20, writtenByteLength: 2 ** 22 }
  const now = summarize('/x', [answered('castor', [serving('castor', { counters: busy })]), silent('pollux')])
  const text = statusText(now, { status: well(), elapsedMs: 500 })
  t.match(text, /PER SECOND/)
  t.match(text, /1000 reads 2 MiB, 2000 writes 8 MiB/)
})

t.test('plexes are told of where some aggregate is mirrored, and what is wrong with one', async (t) => {
  t.notMatch(statusText(well()), /PLEXES|plex/)
  const plex = (number: number, state: PlexStatus['state'], because = ''): PlexStatus => {
    return {
      plex: number,
      state,
      recorded: state === 'in-sync' ? state : 'stale',
      because,
      disks: [],
      resync: null,
    }
  }
  const text = (plexes: PlexStatus[], mendedBlocks = 0) => {
    const mirrored = serving('castor', { plexes, mendedBlocks })
    return statusText(summarize('/x', [answered('castor', [mirrored, engine('pollux')]), silent('pollux')]))
  }
  const good = text([plex(0, 'in-sync'), plex(1, 'in-sync')])
  t.match(good, /SPACE USED +PLEXES\n.* 1 MiB of 1 GiB +in-sync/)
  t.notMatch(good, /aggregate castor/)
  const missing = text([plex(0, 'missing', '/dev/a: write failed'), plex(1, 'in-sync')])
  t.match(missing, / 1 of 2 in-sync/)
  t.match(missing, /^aggregate castor: plex 0 is missing: \/dev\/a: write failed$/m)
  const filling = text([plex(0, 'in-sync'), plex(1, 'filling', 'resync: 120 MiB copied')], 3)
  t.match(filling, /^aggregate castor: plex 1 is being filled: resync: 120 MiB copied$/m)
  t.match(filling, /^aggregate castor: 3 blocks were damaged on one plex and mended; check its disks$/m)
})
