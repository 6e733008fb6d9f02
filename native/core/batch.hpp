#pragma once
// Carries out a list of copies and checksums that JavaScript has written down (ts/base/memory-batch.ts).
#include <cstddef>
#include <cstdint>

namespace pollux {

struct BatchResult {
  uint32_t failures = 0;
  int32_t first_failure = -1;
};

/// Runs `count` steps of kStepWords numbers each, in order. Addresses are trusted: the caller's
/// TypeScript made them from memory that it owns. An unknown operation is a failure of its step.
BatchResult run_batch(const double* steps, size_t count);

}  // namespace pollux
