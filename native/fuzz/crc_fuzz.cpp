// The fast CRC against the table, in one piece and cut in two at a place that the input chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "../core/crc32c.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t length = size - 2;
  const size_t cut = length == 0 ? 0 : (data[0] * 256U + data[1]) % (length + 1);
  const uint8_t* bytes = data + 2;
  const uint32_t whole = pollux::crc32c_table(bytes, length, 0);
  if (pollux::crc32c(bytes, length, 0) != whole) std::abort();
  if (pollux::crc32c(bytes + cut, length - cut, pollux::crc32c(bytes, cut, 0)) != whole) std::abort();
  return 0;
}
