import { isStoreError } from '../base/errors.ts'

/** A line for the user, or several. */
export function say(line: string): void {
  process.stdout.write(`${printable(line)}\n`)
}

/** Clears a terminal before the same is said anew. */
export function clearScreen(): void {
  if (process.stdout.isTTY) process.stdout.write('\x1b[2J\x1b[H')
}

/** Control characters, and those that turn the direction of a text round. */
const LEADING = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

const hexOf = (character: string): string => character.charCodeAt(0).toString(16).padStart(4, '0')

/** Some texts have names in them that came over the network: they must not lead the user's terminal. */
export function printable(text: string): string {
  return text.replace(LEADING, (one) => (one === '\n' || one === '\t' ? one : `\\u${hexOf(one)}`))
}

/** One line of JSON, for scripts. */
export function sayJson(value: unknown): void {
  // what is left of them after JSON has escaped its own stays JSON like this
  say(JSON.stringify(value))
}

/** A hint that is no result: scripts that read stdout do not see it. */
export function note(line: string): void {
  clearProgress()
  process.stderr.write(`pollux: ${printable(line)}\n`)
}

let progressShown = false

/** Long work: one line on a terminal that is written over, nothing anywhere else. */
export function progress(line: string): void {
  if (!process.stderr.isTTY) return
  process.stderr.write(
    `\r\x1b[K${printable(line).slice(0, Math.max(20, (process.stderr.columns ?? 80) - 1))}`,
  )
  progressShown = true
}

export function clearProgress(): void {
  if (progressShown) process.stderr.write('\r\x1b[K')
  progressShown = false
}

/** Columns as wide as their widest cell; numbers to the right is the caller's business. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [head, ...rows].map(line).join('\n')
}

/** What a failure says: expected ones in their own words, our own bugs with the stack. */
export function failureLine(error: unknown): string {
  if (isStoreError(error)) return printable(`pollux: ${error.message}`)
  return printable(`pollux: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
}

/** 2 for wrong usage, else 1. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return isStoreError(error, 'USAGE') ? 2 : 1
}
