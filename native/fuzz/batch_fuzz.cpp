// Batches of steps inside of one arena, against a slow and plain model of what each step means.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../core/batch.hpp"
#include "../core/crc32c.hpp"
#include "../generated/format.hpp"

namespace {

constexpr size_t kArena = 16 * pollux::kBlockSize;
constexpr size_t kStepBytes = 9;

struct Model {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(kArena);
  uint32_t failures = 0;

  uint32_t word(size_t at) const {
    uint32_t value;
    std::memcpy(&value, &bytes[at], 4);
    return value;
  }
  void store(size_t at, uint32_t value) { std::memcpy(&bytes[at], &value, 4); }
  uint32_t sum(size_t at, size_t length, uint32_t seed) const {
    return pollux::crc32c_table(bytes.data() + at, length, seed);
  }
};

// Places: a source in the first half, a target in the second, a checksum in the last block.
struct Step {
  int operation;
  size_t from, to, length, sums;
};

Step step_of(const uint8_t* data) {
  const size_t half = kArena / 2 - pollux::kBlockSize;
  Step step{};
  step.operation = data[0] % 7 + 1;
  step.from = (data[1] * 256U + data[2]) % half;
  step.to = kArena / 2 + (data[3] * 256U + data[4]) % (half - 3 * pollux::kBlockSize);
  step.length = (data[5] * 256U + data[6]) % pollux::kBlockSize;
  step.sums = kArena - pollux::kBlockSize + (data[7] * 256U + data[8]) % (pollux::kBlockSize - 16);
  return step;
}

size_t blocks_of(const Step& step) { return step.length % 3; }

void apply(Model& model, const Step& step) {
  switch (step.operation) {
    case pollux::kMemoryOpCopy:
      for (size_t i = 0; i < step.length; ++i) model.bytes[step.to + i] = model.bytes[step.from + i];
      return;
    case pollux::kMemoryOpCopyChecksum:
      for (size_t i = 0; i < blocks_of(step) * pollux::kBlockSize; ++i) {
        model.bytes[step.to + i] = model.bytes[step.from + i];
      }
      for (size_t i = 0; i < blocks_of(step); ++i) {
        model.store(step.sums + 4 * i, model.sum(step.to + i * pollux::kBlockSize, pollux::kBlockSize, 0));
      }
      return;
    case pollux::kMemoryOpSeal:
      model.store(step.sums, model.sum(step.to, 100, model.sum(step.from, step.length, 0)));
      return;
    case pollux::kMemoryOpVerifySeal:
      model.failures +=
          model.word(step.sums) != model.sum(step.to, 100, model.sum(step.from, step.length, 0));
      return;
    case pollux::kMemoryOpVerifyBlocks: {
      bool good = true;
      for (size_t i = 0; i < blocks_of(step); ++i) {
        const uint32_t sum = model.sum(step.to + i * pollux::kBlockSize, pollux::kBlockSize, 0);
        good = good && sum == model.word(step.sums + 4 * i);
      }
      model.failures += !good;
      return;
    }
    case pollux::kMemoryOpZero:
      for (size_t i = 0; i < step.length; ++i) model.bytes[step.from + i] = 0;
      return;
    default:
      ++model.failures;
  }
}

void write_step(std::vector<double>& steps, const Step& step, const uint8_t* arena) {
  const auto address = [&](size_t at) {
    return static_cast<double>(reinterpret_cast<uintptr_t>(arena + at));
  };
  const auto blocks = static_cast<double>(blocks_of(step));
  const auto length = static_cast<double>(step.length);
  const double from = address(step.from);
  const double to = address(step.to);
  const double sums = address(step.sums);
  std::vector<double> words = {static_cast<double>(step.operation)};
  switch (step.operation) {
    case pollux::kMemoryOpCopy:
      words.insert(words.end(), {from, to, length, 0, 0});
      break;
    case pollux::kMemoryOpCopyChecksum:
      words.insert(words.end(), {from, to, blocks, sums, static_cast<double>(step.length / 3 % 2)});
      break;
    case pollux::kMemoryOpVerifyBlocks:
      words.insert(words.end(), {to, blocks, sums, 0, 0});
      break;
    case pollux::kMemoryOpZero:
      words.insert(words.end(), {from, length, 0, 0, 0});
      break;
    default:
      words.insert(words.end(), {from, length, to, 100, sums});
      break;
  }
  steps.insert(steps.end(), words.begin(), words.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Model model;
  for (size_t i = 0; i < kArena; ++i) model.bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  std::vector<uint8_t> arena = model.bytes;
  std::vector<double> steps;
  for (; size >= kStepBytes; data += kStepBytes, size -= kStepBytes) {
    const Step step = step_of(data);
    apply(model, step);
    write_step(steps, step, arena.data());
  }
  const auto result = pollux::run_batch(steps.data(), steps.size() / pollux::kStepWords);
  if (result.failures != model.failures || arena != model.bytes) std::abort();
  return 0;
}
