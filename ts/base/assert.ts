/**
 * `assert` marks our own bugs. It stays on in production and is never caught inside the engine:
 * the process dies, and the partner takes over from a state that is known to be good.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message)
}

export class AssertionFailure extends Error {
  override name = 'AssertionFailure'
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${String(value)}`)
}
