// Checksums and batches, at every alignment and across the lanes of the fast CRC.
#include <cstdint>
#include <cstring>
#include <vector>

#include "../core/batch.hpp"
#include "../core/crc32c.hpp"
#include "../generated/format.hpp"
#include "check.hpp"

using namespace pollux;

namespace {

std::vector<uint8_t> random_bytes(size_t length, uint32_t state) {
  std::vector<uint8_t> bytes(length);
  for (auto& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

double number(const void* address) { return static_cast<double>(reinterpret_cast<uintptr_t>(address)); }

void checksum_of_the_standard() {
  CHECK(crc32c(reinterpret_cast<const uint8_t*>("123456789"), 9, 0) == 0xe3069283);
  CHECK(crc32c(nullptr, 0, 0) == 0);
}

void check_fast(const uint8_t* bytes, size_t length, uint32_t seed) {
  const uint32_t expected = crc32c_table(bytes, length, seed);
  CHECK(crc32c(bytes, length, seed) == expected);
  CHECK(crc32c_narrow(bytes, length, seed) == expected);
}

void fast_checksums_equal_table() {
  const auto bytes = random_bytes(20000, 1);
  for (size_t length = 0; length < 300; ++length) {
    for (size_t from = 0; from < 9; ++from) check_fast(&bytes[from], length, 7);
  }
  for (size_t length = 300; length < 4070; length += 61) check_fast(&bytes[5], length, 9);
  for (size_t length = 4070; length < 4100; ++length) {
    check_fast(&bytes[3], length, 0);
    check_fast(&bytes[3], 2 * length, 0);
    CHECK(crc32c(&bytes[3], 2 * length, 0) ==
          crc32c(&bytes[3 + length], length, crc32c(&bytes[3], length, 0)));
  }
}

void copied_bytes_are_those_of_the_checksum() {
  const auto from = random_bytes(10000, 4);
  for (const size_t length : {0, 64, 255, 256, 320, 448, 511, 512, 1024, 4096, 4160, 8191, 8192}) {
    for (const size_t at : {0, 1, 63}) {
      std::vector<uint8_t> to(length + 2, 0xaa);
      CHECK(crc32c_of_copy(&from[at], &to[1], length) == crc32c_table(&from[at], length, 0));
      CHECK(std::memcmp(&from[at], &to[1], length) == 0);
      CHECK(to[0] == 0xaa && to[length + 1] == 0xaa);
    }
  }
}

void bytes_that_nobody_reads_soon_are_copied_alike() {
  const auto from = random_bytes(10000, 5);
  for (const size_t length : {0, 64, 256, 320, 511, 512, 4096, 4160, 8192}) {
    for (const size_t at : {0, 1, 64}) {
      std::vector<uint8_t> room(length + 256, 0xaa);
      uint8_t* to = room.data() + 64 - reinterpret_cast<uintptr_t>(room.data()) % 64 + at;
      CHECK(crc32c_of_copy(&from[at], to, length, Reader::kLater) == crc32c_table(&from[at], length, 0));
      CHECK(std::memcmp(&from[at], to, length) == 0);
      CHECK(to[-1] == 0xaa && to[length] == 0xaa);
    }
  }
}

void batch_copies_and_checks() {
  auto from = random_bytes(3 * kBlockSize, 2);
  std::vector<uint8_t> to(3 * kBlockSize);
  std::vector<uint32_t> sums(3);
  const double steps[] = {
      kMemoryOpCopyChecksum,
      number(from.data()),
      number(to.data()),
      3,
      number(sums.data()),
      0,
      kMemoryOpVerifyBlocks,
      number(to.data()),
      3,
      number(sums.data()),
      0,
      0,
  };
  CHECK(run_batch(steps, 2).failures == 0);
  CHECK(from == to);
  CHECK(sums[2] == crc32c_table(&from[2 * kBlockSize], kBlockSize, 0));
  to[2 * kBlockSize] ^= 1;
  const BatchResult damaged = run_batch(steps + kStepWords, 1);
  CHECK(damaged.failures == 1 && damaged.first_failure == 0);
}

void overlapping_copy_moves() {
  auto bytes = random_bytes(1000, 3);
  const std::vector<uint8_t> before = bytes;
  const double step[] = {kMemoryOpCopy, number(bytes.data()), number(&bytes[1]), 999, 0, 0};
  CHECK(run_batch(step, 1).failures == 0);
  CHECK(std::memcmp(&bytes[1], before.data(), 999) == 0);
}

void unknown_operation_is_a_failure() {
  const double steps[2 * kStepWords] = {kMemoryOpZero, number(steps), 0, 0, 0, 0, 99};
  const BatchResult result = run_batch(steps, 2);
  CHECK(result.failures == 1 && result.first_failure == 1);
}

}  // namespace

int main() {
  checksum_of_the_standard();
  fast_checksums_equal_table();
  copied_bytes_are_those_of_the_checksum();
  bytes_that_nobody_reads_soon_are_copied_alike();
  batch_copies_and_checks();
  overlapping_copy_moves();
  unknown_operation_is_a_failure();
}
