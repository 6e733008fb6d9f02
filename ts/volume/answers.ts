/** What looking for a block answers instead of a place. */
export const HOLE = -1
/** Something has to be read first; the waiter is woken when it has been. */
export const WAIT = -2
/** It cannot be read, or does not match its checksum. */
export const FAILED = -3
/** It is there; for those who do not want to know where. */
export const MAPPED = 0
