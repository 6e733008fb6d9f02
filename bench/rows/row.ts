import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { atEnd } from '../cleanup.ts'
import type { Tell } from '../compare/compare.ts'
import type { ServerName } from '../compare/server.ts'
import type { Section } from '../report/section.ts'

/** What the command line says of how a row is to be measured. What is undefined, the row knows itself. */
export interface RowSettings {
  readonly rounds: number | undefined
  readonly seconds: number | undefined
  readonly byteLength: number | undefined
  /** of the load whose memory is watched */
  readonly minutes: number | undefined
  /** of data in the log that is replayed */
  readonly fillByteLength: number | undefined
  /** to see that it works, not to measure: few rounds, short ones, little data */
  readonly isQuick: boolean
  /** servers that are compared as well */
  readonly more: readonly ServerName[]
  readonly parent: string
  readonly tell: Tell
}

/** One row of the table of targets. */
export interface TargetRow {
  readonly name: string
  readonly title: string
  /** what it has to reach, in words */
  readonly target: string
  readonly run: (settings: RowSettings) => Promise<Section>
}

/** An empty directory on the disk that is measured, gone at the end. */
export function emptyDirectory({ parent }: RowSettings): string {
  const directory = mkdtempSync(join(parent, 'pollux-bench-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
