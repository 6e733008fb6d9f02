#pragma once
// Where a thread runs. All functions return -errno on failure.

namespace pollux {

/// Keeps the calling thread on one CPU; with a negative number, it runs wherever the first thread of the
/// process may.
int keep_on_cpu(int cpu);

}  // namespace pollux
