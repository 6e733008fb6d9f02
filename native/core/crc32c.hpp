#pragma once
// CRC32C (Castagnoli), as in iSCSI and ext4: reflected, polynomial 0x82f63b78.
#include <cstddef>
#include <cstdint>

namespace pollux {

/// CRC32C of `length` bytes, continued from `seed` (0 to begin): crc(b, crc(a)) == crc(a followed by b).
uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t seed);

/// The plain table version: what the fast one is tested against, and used where there is no instruction.
uint32_t crc32c_table(const uint8_t* bytes, size_t length, uint32_t seed);

}  // namespace pollux
