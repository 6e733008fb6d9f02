#include "batch.hpp"

#include <cstring>

#include "../generated/format.hpp"
#include "crc32c.hpp"

namespace pollux {
namespace {

uint8_t* address(double number) { return reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(number)); }

void copy_with_checksums(const uint8_t* from, uint8_t* to, size_t blocks, uint8_t* checksums, Reader reader) {
  for (size_t i = 0; i < blocks; ++i) {
    const uint8_t* source = from + i * kBlockSize;
    uint8_t* target = to + i * kBlockSize;
    const uint32_t sum =
        source == target ? crc32c(target, kBlockSize, 0) : crc32c_of_copy(source, target, kBlockSize, reader);
    std::memcpy(checksums + i * 4, &sum, 4);
  }
}

bool blocks_match(const uint8_t* at, size_t blocks, const uint8_t* checksums) {
  for (size_t i = 0; i < blocks; ++i) {
    uint32_t expected;
    std::memcpy(&expected, checksums + i * 4, 4);
    if (crc32c(at + i * kBlockSize, kBlockSize, 0) != expected) return false;
  }
  return true;
}

uint32_t seal_of(const double* step) {
  const uint32_t first = crc32c(address(step[1]), static_cast<size_t>(step[2]), 0);
  return crc32c(address(step[3]), static_cast<size_t>(step[4]), first);
}

bool run_step(const double* step) {
  switch (static_cast<int>(step[0])) {
    case kMemoryOpCopy:
      std::memmove(address(step[2]), address(step[1]), static_cast<size_t>(step[3]));
      return true;
    case kMemoryOpCopyChecksum:
      copy_with_checksums(address(step[1]), address(step[2]), static_cast<size_t>(step[3]), address(step[4]),
                          step[5] == 1 ? Reader::kLater : Reader::kSoon);
      return true;
    case kMemoryOpSeal: {
      const uint32_t seal = seal_of(step);
      std::memcpy(address(step[5]), &seal, 4);
      return true;
    }
    case kMemoryOpVerifySeal: {
      uint32_t stored;
      std::memcpy(&stored, address(step[5]), 4);
      return stored == seal_of(step);
    }
    case kMemoryOpVerifyBlocks:
      return blocks_match(address(step[1]), static_cast<size_t>(step[2]), address(step[3]));
    case kMemoryOpZero:
      std::memset(address(step[1]), 0, static_cast<size_t>(step[2]));
      return true;
    default:
      return false;
  }
}

}  // namespace

BatchResult run_batch(const double* steps, size_t count) {
  BatchResult result;
  for (size_t i = 0; i < count; ++i) {
    if (run_step(steps + i * kStepWords)) continue;
    if (result.failures == 0) result.first_failure = static_cast<int32_t>(i);
    ++result.failures;
  }
  return result;
}

}  // namespace pollux
