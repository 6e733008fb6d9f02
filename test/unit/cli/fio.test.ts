import t from 'tap'
import { isStoreError } from '../../../ts/base/errors.ts'
import { fioArguments, iopsOverTime, longestGapMs, mustHaveFio, parseFio } from '../../../ts/cli/fio.ts'
import { loadNamed, loads } from '../../../ts/cli/fio-loads.ts'

const clat_ns = { max: 12_000, percentile: { '50.000000': 2000, '99.000000': 5000, '99.900000': 9000 } }
const idle = { iops: 0, bw_bytes: 0, total_ios: 0, clat_ns: {} }
const busy = { iops: 12.5, bw_bytes: 51_200, total_ios: 25, clat_ns }
const report = (job: object) => `fio: connected to NBD server\n${JSON.stringify({ jobs: [job] })}`

const expected = {
  iops: 12.5,
  bytesPerSecond: 51_200,
  operations: 25,
  p50Us: 2,
  p99Us: 5,
  p999Us: 9,
  maxUs: 12,
}

t.test('the report of fio is read behind the lines of its engine', async (t) => {
  t.same(parseFio(report({ error: 0, read: idle, write: busy })), expected)
  t.same(parseFio(report({ error: 0, read: busy, write: idle })), expected)
})

t.test('flushes have latencies of their own', async (t) => {
  const sync = {
    total_ios: 25,
    lat_ns: { percentile: { '50.000000': 300_000, '99.000000': 700_000, '99.900000': 1 } },
  }
  const seen = parseFio(report({ error: 0, read: idle, write: busy, sync }))
  t.same(seen, { ...expected, flushP50Us: 300, flushP99Us: 700 })
  const none = { total_ios: 0, lat_ns: {} }
  t.same(parseFio(report({ error: 0, read: idle, write: busy, sync: none })), expected)
})

t.test('an error of fio is an error, and so is a report that is none', async (t) => {
  t.throws(() => parseFio(report({ error: 5, read: idle, write: busy })), /error 5/)
  t.throws(() => parseFio(report({ error: 0, read: idle, write: idle })), /no request/)
  t.throws(() => parseFio('{"jobs":[]}'), /no job/)
  t.throws(() => parseFio('{}'), /no job/)
  t.throws(() => parseFio('fio: cannot do that'), /no report: fio: cannot do that/)
})

t.test('a load becomes arguments: connections are jobs, and a device gets direct I/O', async (t) => {
  const load = loadNamed('fsync-4k-qd8-x4')!
  const all = fioArguments({ uri: 'nbd://h/a' }, { ...load, regionByteLength: 1 << 20 }, { seconds: 3 })
  const wanted = ['--ioengine=nbd', '--uri=nbd://h/a', '--rw=randwrite', '--bs=4096', '--iodepth=8']
  const more = [
    '--numjobs=4',
    '--group_reporting',
    '--fsync=1',
    '--size=1048576',
    '--time_based',
    '--runtime=3',
  ]
  for (const argument of [...wanted, ...more]) t.ok(all.includes(argument), argument)
  const device = fioArguments({ device: '/dev/loop9' }, loads[0]!, {
    totalByteLength: 8192,
    answerLog: '/x/a',
  })
  const logs = ['--write_lat_log=/x/a', '--log_avg_msec=10', '--write_iops_log=/x/a']
  for (const argument of [
    '--ioengine=io_uring',
    '--direct=1',
    '--filename=/dev/loop9',
    '--io_size=8192',
    ...logs,
  ])
    t.ok(device.includes(argument), argument)
  t.notMatch(device.join(' '), /numjobs|fsync|runtime|--uri/)
})

t.test('what is missing of fio is named, with its package', async (t) => {
  const engines = (list: string) => async (_: string, how: readonly string[]) =>
    how[0] === '--version' ? 'fio-3.33\n' : `Available IO engines:\n\t${list}\n`
  t.equal(await mustHaveFio(engines('io_uring\n\tnbd')), 'fio-3.33')
  const isUsage = (text: RegExp) => (error: unknown) =>
    isStoreError(error, 'USAGE') && text.test(error.message)
  const lacking = await mustHaveFio(engines('io_uring\n\tnbdx')).catch((error: unknown) => error)
  t.ok(isUsage(/without its nbd engine.*Debian package fio/)(lacking))
  const nothing = await mustHaveFio(() => Promise.reject(new Error('ENOENT'))).catch(
    (error: unknown) => error,
  )
  t.ok(isUsage(/not installed.*Debian package fio/)(nothing))
})

t.test('the longest time without an answer is found, at the start, too', async (t) => {
  const log = (...times: number[]) => times.map((at) => `${at}, 65300, 1, 0, 0\n`).join('')
  t.equal(longestGapMs(log(10, 20, 31, 250, 260)), 219)
  t.equal(longestGapMs(log(400, 410)), 400)
  t.equal(longestGapMs(''), 0)
})

t.test('operations over time are read from a log, a second each', async (t) => {
  const log = '1000, 135123, 1, 0, 0\n2000, 125145, 1, 0, 0\n'
  t.same(iopsOverTime(log), [
    [1, 135_123],
    [2, 125_145],
  ])
  t.same(iopsOverTime('\n'), [])
})
