import { type Summary, thousands } from '../../ts/cli/fio-summary.ts'
import { type Chart, numberText, type Series } from './section.ts'

const WIDTH = 720
const BAR = 22
const GAP = 12
const LABEL = 190
const VALUE = 90

/** Text that may come from outside, as it has to be within HTML. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (character) => entities[character]!)
}

/** One bar for each server: the median of its IOPS, and a line from the worst to the best round. */
export function barChart(title: string, summaries: readonly Summary[]): string {
  const room = WIDTH - LABEL - VALUE
  const largest = Math.max(...summaries.map(({ iopsMax }) => iopsMax))
  const x = (iops: number): string => (LABEL + (iops / largest) * room).toFixed(1)
  const bars = summaries.map((summary, index) => barOf(summary, index * (BAR + GAP), x))
  const height = summaries.length * (BAR + GAP)
  return svg(title, WIDTH, height, bars.join(''))
}

function barOf(
  { server, iops, iopsMin, iopsMax }: Summary,
  top: number,
  x: (iops: number) => string,
): string {
  const middle = top + BAR / 2
  const kind = server.startsWith('pollux') ? 'ours' : 'theirs'
  const width = (Number(x(iops)) - LABEL).toFixed(1)
  const told = `${server}: ${numberText(iops)} IOPS, ${numberText(iopsMin)} to ${numberText(iopsMax)}`
  return [
    textAt(LABEL - 10, middle + 4, 'label', server, 'end'),
    `<rect class="${kind}" x="${LABEL}" y="${top}" width="${width}" height="${BAR}" rx="3">`,
    `<title>${escaped(told)}</title></rect>`,
    `<path class="spread" d="M${x(iopsMin)} ${middle}H${x(iopsMax)}"/>`,
    textAt(Number(x(iopsMax)) + 8, middle + 4, 'value', thousands(iops)),
  ].join('')
}

const PLOT = { left: 60, right: 110, top: 24, bottom: 40, height: 234 }
const TICKS = 4
const LINE_HEIGHT = 14

type Scale = (value: number) => number

/** Lines over one axis; the name of each stands at its end. */
export function lineChart({ title, xTitle, yTitle, series }: Chart): string {
  const points = series.flatMap((line) => line.points)
  if (points.length === 0) return ''
  const xMax = roundAbove(Math.max(...points.map(([x]) => x)))
  const yMax = roundAbove(Math.max(...points.map(([, y]) => y)))
  const bottom = PLOT.height - PLOT.bottom
  const x = (value: number): number => PLOT.left + (value / xMax) * (WIDTH - PLOT.left - PLOT.right)
  const y = (value: number): number => bottom - (value / yMax) * (bottom - PLOT.top)
  const titles = [
    textAt(WIDTH / 2, PLOT.height - 6, 'label', xTitle, 'middle'),
    textAt(PLOT.left, 12, 'label', yTitle),
  ]
  const content = [...ticks(xMax, yMax, x, y), ...lines(series, x, y), ...titles]
  return svg(title, WIDTH, PLOT.height, content.join(''))
}

/** A number of which a quarter is easy to read: 1, 2, 4 or 8 and noughts. */
export function roundAbove(value: number): number {
  if (!(value > 0)) return 1
  const noughts = 10 ** Math.floor(Math.log10(value))
  return noughts * ([1, 2, 4, 8].find((digit) => value <= digit * noughts) ?? 10)
}

/** Names that would lie on each other move apart, the upper one stays. */
function lines(series: readonly Series[], x: Scale, y: Scale): string[] {
  const ends = series.map(({ points }) => points.at(-1) ?? [0, 0])
  const places = new Map<number, number>()
  let free = 0
  for (const index of [...ends.keys()].sort((a, b) => ends[b]![1] - ends[a]![1])) {
    const place = Math.max(free, y(ends[index]![1]) + 4)
    places.set(index, place)
    free = place + LINE_HEIGHT
  }
  return series.map(({ name, points }, index) => {
    const path = points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('L')
    const label = textAt(x(ends[index]![0]) + 6, places.get(index)!, 'label', name)
    return `<path class="line line${index}" d="M${path}"/>${label}`
  })
}

function ticks(xMax: number, yMax: number, x: Scale, y: Scale): string[] {
  const bottom = PLOT.height - PLOT.bottom
  return Array.from({ length: TICKS + 1 }, (_, tick) => {
    const [atX, atY] = [(xMax * tick) / TICKS, (yMax * tick) / TICKS]
    return [
      `<path class="grid" d="M${PLOT.left} ${y(atY).toFixed(1)}H${WIDTH - PLOT.right}"/>`,
      textAt(PLOT.left - 6, y(atY) + 4, 'tick', tickText(atY), 'end'),
      textAt(x(atX), bottom + 16, 'tick', tickText(atX), 'middle'),
    ].join('')
  })
}

const tickText = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 3 })

type Anchor = 'start' | 'middle' | 'end'

function textAt(x: number, y: number, kind: string, text: string, anchor: Anchor = 'start'): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"`
  return `<text class="${kind}" ${place}>${escaped(text)}</text>`
}

function svg(title: string, width: number, height: number, content: string): string {
  const label = escaped(title)
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${content}</svg>`
}
