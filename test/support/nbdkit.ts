import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { scratch, start, until } from './program.ts'

/** An nbdkit with one plugin, on a socket in the file system; returns its URI. */
export async function startNbdkit(t: Test, plugin: string, ...parameters: string[]): Promise<string> {
  const socket = path.join(scratch(t), 'nbdkit.sock')
  const { child, said } = start('nbdkit', ['-f', '-U', socket, plugin, ...parameters])
  t.teardown(() => child.kill('SIGKILL'))
  await until(`nbdkit ${plugin} listens`, () => {
    if (child.exitCode !== null) throw new Error(`nbdkit ${plugin}: ${said()}`)
    return existsSync(socket)
  })
  return `nbd+unix:///?socket=${socket}`
}
