export interface Clock {
  /** Monotonic milliseconds, with fractions; goes on while the process is stopped. One host, one clock. */
  now(): number
  /** Milliseconds since 1970; for people only, never for decisions. */
  wall(): number
}
