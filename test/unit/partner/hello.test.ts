import t from 'tap'
import { LINK_VERSION, LinkHello } from '../../../ts/format/link-frame.ts'
import { encodeHello, judgeHello, type LinkIdentity, LogState } from '../../../ts/partner/hello.ts'

const id = (byte: number) => new Uint8Array(16).fill(byte)
const castor: LinkIdentity = {
  pair: id(1),
  aggregate: id(2),
  aggregateName: 'gold',
  node: id(3),
  nodeName: 'castor',
  partner: id(4),
  partnerName: 'pollux',
  boot: id(5),
  pageCount: 1024,
}
const pollux: LinkIdentity = {
  ...castor,
  node: id(4),
  nodeName: 'pollux',
  partner: id(3),
  partnerName: 'castor',
  boot: id(6),
}
const facts = {
  state: 'owner' as const,
  epoch: 9,
  logState: LogState.COMPLETE,
  lastSequence: 2 ** 41,
  incarnation: id(7),
}

/** What castor thinks of a hello of pollux in which something is different. */
function judge(
  change: (hello: ReturnType<typeof LinkHello.decode>) => void,
  version: number = LINK_VERSION,
): unknown {
  const payload = encodeHello(pollux, facts)
  const hello = LinkHello.decode(payload)
  change(hello)
  LinkHello.encode(hello, payload)
  return judgeHello(payload, version, castor)
}

t.test('a hello of the partner says who it is and how far it is', async (t) => {
  t.same(judgeHello(encodeHello(pollux, facts), LINK_VERSION, castor), { ...facts, boot: id(6) })
  t.match(
    judge((hello) => (hello.role = 0)),
    { state: 'keeper' },
  )
  for (const logState of [0, 1, 2, 7]) {
    t.match(
      judge((hello) => (hello.logState = logState)),
      { logState: Math.min(logState, 2) },
    )
  }
})

const mistakes: [string, RegExp, (hello: ReturnType<typeof LinkHello.decode>) => void][] = [
  ['pair', /^node 'pollux' belongs to another pair$/, (hello) => (hello.pair = id(9))],
  ['aggregate', /another aggregate \('gold'\)$/, (hello) => (hello.aggregate = id(9))],
  ['identity', /this node's own identity; give each/, (hello) => (hello.node = id(3))],
  ['third node', /not the partner of 'castor' \(that is 'pollux'\)/, (hello) => (hello.node = id(9))],
  ['log format', /log format 2, this node 1; upgrade/, (hello) => (hello.logRingVersion = 2)],
  ['disk format', /disk format 3, this node 1; upgrade/, (hello) => (hello.superblockVersion = 3)],
  [
    'log size',
    /log of 2048 pages, this node of 1024; make log_size equal/,
    (hello) => (hello.pageCount = 2048),
  ],
]

for (const [what, text, change] of mistakes) {
  t.test(`a hello that differs in its ${what} is refused by name`, async (t) => {
    t.match(judge(change), text)
  })
}

t.test('another version of the link is refused after it is known who speaks', async (t) => {
  t.match(
    judge(() => {}, LINK_VERSION + 1),
    /^node 'pollux' speaks link version 2, this node 1; upgrade the older one$/,
  )
  t.match(
    judge((hello) => (hello.pair = id(9)), LINK_VERSION + 1),
    /another pair/,
  )
})

t.test('a hello of a wrong length is refused', async (t) => {
  for (const length of [0, 447, 449]) t.match(judgeHello(new Uint8Array(length), 1, castor), /wrong length/)
})
