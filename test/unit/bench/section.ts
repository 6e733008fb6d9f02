import type { Machine } from '../../../bench/machine.ts'
import type { Section } from '../../../bench/report/section.ts'
import { type Sample, summarize } from '../../../ts/cli/fio-summary.ts'

export const machineOfTests: Machine = {
  time: '2026-01-02T03:04:05.000Z',
  commit: 'abc1234',
  cpu: 'Processor <1> & "2"',
  cores: 2,
  memoryByteLength: 8 * 2 ** 30,
  kernel: '6.1.0',
  node: 'v20.17.0',
  client: 'fio-3.33',
}

const sample = (iops: number): Sample => ({
  iops,
  operations: iops,
  bytesPerSecond: iops * 4096,
  p50Us: 123,
  p99Us: 4567,
  p999Us: 8901,
  maxUs: 9999,
  cpuSeconds: [0.25, 0.125],
})

/** A part of a report with something of everything. */
export function sectionWithAll(): Section {
  const rows = [
    { contender: { name: 'pollux pair', durability: 'in two <memories>' }, samples: [sample(40_000)] },
    { contender: { name: 'raw device', durability: 'on one disk' }, samples: [sample(20_000)] },
  ]
  return {
    name: 'all',
    title: 'all & everything',
    how: '1 x 2 s, in turns',
    summaries: summarize(rows),
    verdicts: [
      { name: 'good', unit: '', values: [2, 1, 3], sense: 'at least', limit: 1.5 },
      { name: 'bad', unit: 'ms', values: [301], sense: 'at most', limit: 300 },
      { name: 'unknown', unit: '%', values: [], sense: 'at most', limit: 1 },
    ],
    figures: [{ name: 'gap <x>', unit: 'ms', values: [17, 71, 42], remark: 'up to 10 ms less' }],
    charts: [
      {
        title: 'Memory',
        xTitle: 'minutes',
        yTitle: 'MiB',
        series: [
          {
            name: 'castor',
            points: [
              [0, 100],
              [1, 200],
            ],
          },
          {
            name: 'pollux',
            points: [
              [0, 50],
              [1, 60],
            ],
          },
        ],
      },
    ],
    table: {
      columns: [
        { name: 'volumes', unit: '' },
        { name: 'open & close', unit: 'ms' },
      ],
      rows: [
        [1, 12.34],
        [1000, 5678.9],
      ],
    },
    notes: ['nbd-server is not installed (Debian package nbd-server): it is left out'],
  }
}
