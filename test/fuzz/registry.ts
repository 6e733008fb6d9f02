import type { Target } from './target.ts'

/** Each is loaded only where it runs: with counters in all that it decodes with. */
const loaders: Readonly<Record<string, () => Promise<{ target: Target }>>> = {
  handshake: () => import('./targets/handshake.ts'),
  options: () => import('./targets/options.ts'),
  transmission: () => import('./targets/transmission.ts'),
  link: () => import('./targets/link.ts'),
  log: () => import('./targets/log.ts'),
  label: () => import('./targets/label.ts'),
  image: () => import('./targets/image.ts'),
  settings: () => import('./targets/settings.ts'),
}

/** Targets that fail, for the fuzzer to prove itself. */
const planted: typeof loaders = {
  planted: () => import('./targets/planted.ts'),
  'planted-hang': () => import('./targets/planted-hang.ts'),
}

export const targetNames: readonly string[] = Object.keys(loaders)

export async function loadTarget(name: string): Promise<Target> {
  const load = loaders[name] ?? planted[name]
  if (load === undefined) throw new Error(`no target is called ${name}; there are ${targetNames.join(', ')}`)
  return (await load()).target
}
