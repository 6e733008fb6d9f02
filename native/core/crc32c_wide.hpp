#pragma once
// CRC32C by carry-less multiplication, 256 bytes at a time: several times as fast as the crc32 instruction,
// where the processor has VPCLMULQDQ with 512 bits.
#include <cstddef>
#include <cstdint>

namespace pollux {

/// Shorter than this, the crc32 instruction is as good.
constexpr size_t kWideMin = 256;

bool has_wide_crc32c();

/// Continues the register `crc` (inverted, as it is between two bytes) over `length` bytes: a multiple of 64,
/// and at least kWideMin. Copies them to `to` on the way, unless it is null; they must not overlap.
/// Only where has_wide_crc32c().
uint32_t wide_crc32c(const uint8_t* bytes, uint8_t* to, size_t length, uint32_t crc);

/// The same from the beginning, for a copy that nobody reads soon: its lines are written past the caches, and
/// none of them is fetched for that. `to` is a multiple of 64.
uint32_t wide_crc32c_streaming(const uint8_t* bytes, uint8_t* to, size_t length);

}  // namespace pollux
