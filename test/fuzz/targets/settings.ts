import { isStoreError } from '../../../ts/base/errors.ts'
import { parseNodeConfig } from '../../../ts/config/node-config.ts'
import { ownerRecordMistake } from '../../../ts/format/owner-record.ts'
import { must, type Target } from '../target.ts'

const identity = (digit: string): string => digit.repeat(32)
const file = `pair = "${identity('a')}"
node = { name = "pollux", identity = "${identity('1')}" }
partner = { name = "castor", identity = "${identity('2')}", link = "10.0.0.1:7001" }
nvram = { directory = "/dev/shm/pollux" }
arbiter = { kind = "file", directory = "/var/lib/pollux" }
link = { listen = "[::1]:7001" }
api = { socket = "/run/pollux.sock" }
[timing]
lease = "2s"
[[aggregate]]
name = "one"
identity = "${identity('3')}"
home = "pollux"
disks = ["/dev/sda"]
mirror = "partner"
service = "127.0.0.1:10809"
log_size = "64MiB"
cp_fill_mark = 0.5
[[nbd]]
listen = "unix:/run/nbd.sock"
read_only = true
`
const record = {
  version: 7,
  aggregate: 'one',
  owner: 'pollux',
  epoch: 3,
  log: 'in-sync',
  incarnations: { pollux: identity('4') },
  plex0: 'in-sync',
  plex1: 'absent',
  lease: { holder: 'pollux', boot: identity('5'), durationMs: 2000, counter: 9 },
  clean: false,
  forced: [],
}

/** The first byte says which: settings of a node, or the record of an arbiter; the rest is the text. */
export const target: Target = {
  name: 'settings',
  byteLengthMax: 3000,
  seeds: () => [
    new Uint8Array(Buffer.from(`0${file}`)),
    new Uint8Array(Buffer.from(`0${file}[tls]\ncertificate = "/c"\nkey = "/k"\nauthority = "/a"\n`)),
    new Uint8Array(Buffer.from(`1${JSON.stringify(record)}`)),
  ],
  run(input) {
    const text = Buffer.from(input.subarray(1)).toString()
    if (((input[0] ?? 0) & 1) === 0) config(text)
    else arbiter(text)
  },
}

function config(text: string): void {
  try {
    const { timing, aggregates } = parseNodeConfig(text, 'node.toml')
    must(timing.leaseMs >= 4 * timing.leaseMarginMs, 'times fit each other')
    for (const { logByteLength } of aggregates)
      must(Number.isInteger(Math.log2(logByteLength)), 'a log has a length that a log can have')
  } catch (error) {
    if (!isStoreError(error, 'CONFIG_INVALID')) throw error
    const isPlaced = error.message.split('\n').every((line) => line.startsWith('node.toml'))
    must(isPlaced, `every mistake has its place: ${error.message}`)
  }
}

function arbiter(text: string): void {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return
  }
  const mistake = ownerRecordMistake(value)
  if (mistake !== undefined) return must(mistake !== '', 'a mistake has words')
  must(
    JSON.stringify(JSON.parse(JSON.stringify(value))) === JSON.stringify(value),
    'a record can be written again',
  )
}
