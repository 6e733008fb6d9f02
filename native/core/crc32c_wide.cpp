#include "crc32c_wide.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pollux {

#if defined(__x86_64__)

#define POLLUX_WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2"), always_inline)) inline

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

// x^bits modulo the polynomial, reflected, as a factor of a carry-less product of reflected numbers, which
// comes out one bit too low. (V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction, Intel 2009.)
constexpr int64_t factor(unsigned bits) {
  uint32_t power = 0x80000000;
  for (unsigned i = 0; i < bits; ++i) power = (power >> 1) ^ ((power & 1) != 0 ? kPolynomial : 0);
  return static_cast<int64_t>(power) << 1;
}

// Moves each 128 bits over `kBytes` bytes that follow, and adds those that lie there.
template <unsigned kBytes>
POLLUX_WIDE __m512i fold(__m512i from, __m512i onto) {
  constexpr int64_t first = factor(8 * kBytes + 32);
  constexpr int64_t second = factor(8 * kBytes - 32);
  const __m512i factors = _mm512_set4_epi64(second, first, second, first);
  const __m512i low = _mm512_clmulepi64_epi128(from, factors, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(from, factors, 0x11);
  return _mm512_ternarylogic_epi64(low, high, onto, 0x96);
}

// Where the bytes go that are read: nowhere, to memory that is read soon, or past the caches.
enum class Copy { kNone, kCached, kStreamed };

// So far ahead of a copy its lines are fetched, also those of the block that follows: the target is a ring
// that is longer than the caches, and the processor foresees nothing beyond a page.
constexpr size_t kFetchAhead = 2048;

template <Copy kCopy>
POLLUX_WIDE __m512i take(const uint8_t* bytes, uint8_t* to, size_t at) {
  const __m512i value = _mm512_loadu_si512(bytes + at);
  if constexpr (kCopy == Copy::kCached) {
    __builtin_prefetch(to + at + kFetchAhead, 1);
    _mm512_storeu_si512(to + at, value);
  }
  if constexpr (kCopy == Copy::kStreamed) _mm512_stream_si512(reinterpret_cast<__m512i*>(to + at), value);
  return value;
}

// What is left is as long as a register, and has the same remainder as all that came before.
POLLUX_WIDE uint32_t remainder(__m512i value) {
  alignas(64) uint64_t words[8];
  _mm512_store_si512(words, value);
  uint64_t crc = 0;
  for (const uint64_t word : words) crc = _mm_crc32_u64(crc, word);
  return static_cast<uint32_t>(crc);
}

template <Copy kCopy>
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2"))) uint32_t wide(const uint8_t* bytes, uint8_t* to,
                                                                         size_t length, uint32_t crc) {
  const __m512i begun = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc)));
  __m512i a = _mm512_xor_si512(take<kCopy>(bytes, to, 0), begun);
  __m512i b = take<kCopy>(bytes, to, 64);
  __m512i c = take<kCopy>(bytes, to, 128);
  __m512i d = take<kCopy>(bytes, to, 192);
  size_t at = 256;
  for (; at + 256 <= length; at += 256) {
    a = fold<256>(a, take<kCopy>(bytes, to, at));
    b = fold<256>(b, take<kCopy>(bytes, to, at + 64));
    c = fold<256>(c, take<kCopy>(bytes, to, at + 128));
    d = fold<256>(d, take<kCopy>(bytes, to, at + 192));
  }
  d = fold<64>(c, fold<128>(b, fold<192>(a, d)));
  for (; at < length; at += 64) d = fold<64>(d, take<kCopy>(bytes, to, at));
  return remainder(d);
}

}  // namespace

bool has_wide_crc32c() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0 &&
         __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.2") != 0;
}

uint32_t wide_crc32c(const uint8_t* bytes, uint8_t* to, size_t length, uint32_t crc) {
  if (to == nullptr) return wide<Copy::kNone>(bytes, to, length, crc);
  return wide<Copy::kCached>(bytes, to, length, crc);
}

uint32_t wide_crc32c_streaming(const uint8_t* bytes, uint8_t* to, size_t length) {
  const uint32_t crc = wide<Copy::kStreamed>(bytes, to, length, ~0U);
  // such stores wait for nobody's order: what is written from here on says that they are there
  _mm_sfence();
  return crc;
}

#else

bool has_wide_crc32c() { return false; }
uint32_t wide_crc32c(const uint8_t*, uint8_t*, size_t, uint32_t crc) { return crc; }
uint32_t wide_crc32c_streaming(const uint8_t*, uint8_t*, size_t) { return 0; }

#endif

}  // namespace pollux
