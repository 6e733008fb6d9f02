#include "crc32c.hpp"

#include <array>
#include <cstring>

#include "crc32c_wide.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace pollux {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

using Table = std::array<uint32_t, 256>;

constexpr Table make_table() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    table[byte] = crc;
  }
  return table;
}

constexpr Table kTable = make_table();

#if defined(__x86_64__)

// Three streams hide the latency of the crc32 instruction; a 4 KiB block is 3 x 1360 bytes and 16 more.
constexpr size_t kLane = 1360;

// What a register becomes after `count` zero bytes: linear in the register, so four tables of 256.
struct Shift {
  std::array<Table, 4> tables{};

  explicit Shift(size_t count) {
    for (size_t slice = 0; slice < 4; ++slice) {
      for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t crc = byte << (8 * slice);
        for (size_t i = 0; i < count; ++i) crc = (crc >> 8) ^ kTable[crc & 0xff];
        tables[slice][byte] = crc;
      }
    }
  }

  uint32_t operator()(uint32_t crc) const {
    return tables[0][crc & 0xff] ^ tables[1][(crc >> 8) & 0xff] ^ tables[2][(crc >> 16) & 0xff] ^
           tables[3][crc >> 24];
  }
};

__attribute__((target("sse4.2"))) uint32_t crc32c_fast(const uint8_t* bytes, size_t length, uint32_t seed) {
  static const Shift one_lane(kLane);
  static const Shift two_lanes(2 * kLane);
  uint64_t crc = static_cast<uint32_t>(~seed);
  while (length >= 3 * kLane) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kLane; at += 8) {
      uint64_t a;
      uint64_t b;
      uint64_t c;
      std::memcpy(&a, bytes + at, 8);
      std::memcpy(&b, bytes + kLane + at, 8);
      std::memcpy(&c, bytes + 2 * kLane + at, 8);
      crc = _mm_crc32_u64(crc, a);
      second = _mm_crc32_u64(second, b);
      third = _mm_crc32_u64(third, c);
    }
    crc = two_lanes(static_cast<uint32_t>(crc)) ^ one_lane(static_cast<uint32_t>(second)) ^
          static_cast<uint32_t>(third);
    bytes += 3 * kLane;
    length -= 3 * kLane;
  }
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  auto rest = static_cast<uint32_t>(crc);
  for (; length > 0; ++bytes, --length) rest = _mm_crc32_u8(rest, *bytes);
  return ~rest;
}

bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__)

__attribute__((target("+crc"))) uint32_t crc32c_fast(const uint8_t* bytes, size_t length, uint32_t seed) {
  uint32_t crc = ~seed;
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    crc = __crc32cd(crc, word);
  }
  for (; length > 0; ++bytes, --length) crc = __crc32cb(crc, *bytes);
  return ~crc;
}

bool has_instruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

#else

uint32_t crc32c_fast(const uint8_t* bytes, size_t length, uint32_t seed) {
  return crc32c_table(bytes, length, seed);
}
bool has_instruction() { return false; }

#endif

const bool kWide = has_wide_crc32c();

}  // namespace

uint32_t crc32c_table(const uint8_t* bytes, size_t length, uint32_t seed) {
  uint32_t crc = ~seed;
  for (size_t i = 0; i < length; ++i) crc = (crc >> 8) ^ kTable[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

uint32_t crc32c_narrow(const uint8_t* bytes, size_t length, uint32_t seed) {
  static const bool fast = has_instruction();
  return fast ? crc32c_fast(bytes, length, seed) : crc32c_table(bytes, length, seed);
}

uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t seed) {
  if (!kWide || length < kWideMin) return crc32c_narrow(bytes, length, seed);
  const size_t whole = length - length % 64;
  const uint32_t sum = ~wide_crc32c(bytes, nullptr, whole, ~seed);
  return crc32c_narrow(bytes + whole, length - whole, sum);
}

uint32_t crc32c_of_copy(const uint8_t* from, uint8_t* to, size_t length, Reader reader) {
  if (kWide && length >= kWideMin && length % 64 == 0) {
    const bool streams = reader == Reader::kLater && reinterpret_cast<uintptr_t>(to) % 64 == 0;
    return ~(streams ? wide_crc32c_streaming(from, to, length) : wide_crc32c(from, to, length, ~0U));
  }
  std::memcpy(to, from, length);
  return crc32c(to, length, 0);
}

}  // namespace pollux
