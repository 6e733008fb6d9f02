import { fileURLToPath } from 'node:url'
import { instrument } from './instrument.ts'

/*
 * Hooks of the module loader: what the program consists of, and the parser of settings, is loaded with a
 * counter in each branch. Arithmetic that is the same for every input stays as it is: counting it would cost
 * most, and tell nothing.
 */
const WITH_COUNTERS = /\/dist\/ts\/|\/dist\/test\/fuzz\/planted\.js$|\/node_modules\/smol-toml\//
const WITHOUT = /\/ts\/base\/(crc32c|assert|units)\.js$/

let next = 0

type Load = (url: string, context: object) => Promise<{ format: string; source?: string | Uint8Array }>

export async function load(url: string, context: object, nextLoad: Load): ReturnType<Load> {
  const loaded = await nextLoad(url, context)
  const isWanted = WITH_COUNTERS.test(url) && !WITHOUT.test(url)
  if (!isWanted || loaded.format !== 'module' || loaded.source === undefined) return loaded
  try {
    const { code, end } = instrument(Buffer.from(loaded.source as Uint8Array).toString(), next)
    next = end
    return { ...loaded, source: code }
  } catch (error) {
    throw new Error(`${fileURLToPath(url)} cannot be instrumented: ${(error as Error).message}`)
  }
}
