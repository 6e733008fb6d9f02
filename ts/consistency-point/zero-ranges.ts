import type { ZeroRange } from './tree-changes.ts'

/** The same blocks as sorted, disjoint ranges that do not touch. */
export function mergedRanges(ranges: readonly ZeroRange[]): ZeroRange[] {
  const merged: { first: number; end: number }[] = []
  for (const { first, end } of [...ranges].sort((a, b) => a.first - b.first)) {
    const last = merged.at(-1)
    if (last !== undefined && first <= last.end) last.end = Math.max(last.end, end)
    else merged.push({ first, end })
  }
  return merged
}
