/**
 * Who is told when an operation has ended. Long-lived objects implement it, so that submitting
 * allocates nothing. `result` is what the system call would return: bytes moved, or -errno.
 * A completion never runs before the call that asked for it has returned.
 */
export interface Completion {
  complete(result: number): void
}
