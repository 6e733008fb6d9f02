import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { mustHaveFio } from '../ts/cli/fio.ts'
import { run } from './compare/processes.ts'

/** Where figures come from; in front of every report. */
export interface Machine {
  readonly time: string
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly memoryByteLength: number
  readonly kernel: string
  readonly node: string
  /** what loads the servers; empty if nothing does */
  readonly client: string
}

export async function machine(hasClient: boolean): Promise<Machine> {
  return {
    time: new Date().toISOString(),
    commit: commit(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryByteLength: totalmem(),
    kernel: release(),
    node: process.version,
    client: hasClient ? await mustHaveFio(run) : '',
  }
}

/** With a plus behind it if files are not as they were committed. */
function commit(): string {
  const cwd = fileURLToPath(new URL('.', import.meta.url))
  const git = (...how: string[]) => spawnSync('git', how, { cwd, encoding: 'utf8' }).stdout?.trim() ?? ''
  const head = git('rev-parse', '--short', 'HEAD')
  if (head === '') return 'unknown'
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}+`
}
