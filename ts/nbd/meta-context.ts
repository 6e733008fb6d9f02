/*
 * The metadata contexts that BLOCK_STATUS knows. There is one, so its identity in a session is fixed.
 */
export const ALLOCATION_CONTEXT = 'base:allocation'
export const ALLOCATION_CONTEXT_ID = 1
/** In answers to LIST_META_CONTEXT the identity means nothing. */
export const LISTED_CONTEXT_ID = 0

/** Whether LIST_META_CONTEXT names it: without a query, or with one that means it or all of its namespace. */
export function listsAllocation(queries: readonly string[]): boolean {
  return queries.length === 0 || queries.some((query) => query === 'base:' || query === ALLOCATION_CONTEXT)
}

/** Whether SET_META_CONTEXT selects it; wildcards select nothing, and what is not known is ignored. */
export function selectsAllocation(queries: readonly string[]): boolean {
  return queries.includes(ALLOCATION_CONTEXT)
}
