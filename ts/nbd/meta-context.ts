import { ExtentFlag } from '../format/nbd.ts'

/*
 * The metadata contexts that BLOCK_STATUS knows. Identities are fixed, and each is a bit: a number is a set
 * of contexts.
 */
export const Context = { ALLOCATION: 1, DEPTH: 2 } as const
export const contexts: readonly number[] = Object.values(Context)
export const NO_CONTEXTS = 0
/** In answers to LIST_META_CONTEXT the identity means nothing. */
export const LISTED_CONTEXT_ID = 0

const names: Readonly<Record<number, string>> = {
  [Context.ALLOCATION]: 'base:allocation',
  // a context of QEMU, whose meaning is ours, so that tools that know it can be used
  [Context.DEPTH]: 'qemu:allocation-depth',
}

export const contextName = (context: number): string => names[context]!

/** What LIST_META_CONTEXT names: all without a query, else what a query means, or all of its namespace. */
export function listedContexts(queries: readonly string[]): number {
  if (queries.length === 0) return setOf(() => true)
  return setOf((name) => queries.includes(name) || queries.includes(namespaceOf(name)))
}

/** What SET_META_CONTEXT selects; wildcards select nothing, and what is not known is ignored. */
export function selectedContexts(queries: readonly string[]): number {
  return setOf((name) => queries.includes(name))
}

/** What a context says of an extent, which either holds data or has no block at all and reads as zeroes. */
export function extentFlags(context: number, isData: boolean): number {
  if (context === Context.DEPTH) return isData ? 1 : 0
  return isData ? 0 : ExtentFlag.HOLE | ExtentFlag.ZERO
}

function setOf(isWanted: (name: string) => boolean): number {
  return contexts.reduce(
    (set, context) => (isWanted(contextName(context)) ? set | context : set),
    NO_CONTEXTS,
  )
}

const namespaceOf = (name: string): string => name.slice(0, name.indexOf(':') + 1)
