#pragma once
// Where a thread runs. All functions return -errno on failure.

namespace pollux {

/// Keeps the calling thread on one CPU; with -1, it may run wherever it could before.
int keep_on_cpu(int cpu);

}  // namespace pollux
