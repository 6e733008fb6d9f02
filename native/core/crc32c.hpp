#pragma once
// CRC32C (Castagnoli), as in iSCSI and ext4: reflected, polynomial 0x82f63b78.
#include <cstddef>
#include <cstdint>

namespace pollux {

/// CRC32C of `length` bytes, continued from `seed` (0 to begin): crc(b, crc(a)) == crc(a followed by b).
uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t seed);

/// Who reads a copy: somebody at once, or nobody soon, so that it need not be in the caches.
enum class Reader { kSoon, kLater };

/// Copies `length` bytes and returns their CRC32C, in one pass over them. `from` and `to` must not overlap.
uint32_t crc32c_of_copy(const uint8_t* from, uint8_t* to, size_t length, Reader reader = Reader::kSoon);

/// With the crc32 instruction, or the table where there is none: for what is short, and for older processors.
uint32_t crc32c_narrow(const uint8_t* bytes, size_t length, uint32_t seed);

/// The plain table version: what the fast ones are tested against.
uint32_t crc32c_table(const uint8_t* bytes, size_t length, uint32_t seed);

}  // namespace pollux
