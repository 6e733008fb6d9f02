// The ring over its mapped queues, as JavaScript drives it: entries from the front of the array, one enter.
#include "../core/uring.hpp"

#include <cerrno>
#include <cstring>

#include "check.hpp"

using namespace pollux;

namespace {

void ask(Uring& ring, uint32_t index, uint64_t token, uint8_t operation) {
  auto* entry = static_cast<io_uring_sqe*>(ring.sqes()) + index;
  std::memset(entry, 0, sizeof(*entry));
  entry->opcode = operation;
  entry->fd = -1;
  entry->user_data = token;
}

const io_uring_cqe& completion(const Uring& ring, uint32_t index) {
  const auto* entries = reinterpret_cast<const io_uring_cqe*>(
      static_cast<const uint8_t*>(ring.completions()) + ring.completions_offset());
  return entries[index & (ring.cq_entries() - 1)];
}

void rounds_go_around_the_queues() {
  Uring ring(8);
  uint32_t head = 0;
  uint32_t consumed = 0;
  for (uint64_t round = 0; round < 100; ++round) {
    for (uint32_t i = 0; i < 5; ++i) ask(ring, i, round * 5 + i, IORING_OP_NOP);
    CHECK(ring.enter(5, consumed, 0, 0) == 5);
    CHECK(ring.unsubmitted() == 0);
    for (uint32_t i = 0; i < 5; ++i) CHECK(completion(ring, head + i).user_data == round * 5 + i);
    head += 5;
    consumed = 5;
  }
}

void waiting_ends_in_time() {
  Uring ring(8);
  const double before = monotonic_ms();
  CHECK(ring.enter(0, 0, 30, 0) == 0);
  const double took = monotonic_ms() - before;
  CHECK(took >= 30 && took < 2000);
}

void fence_lets_nothing_out() {
  Uring ring(8);
  ask(ring, 0, 1, IORING_OP_NOP);
  CHECK(ring.enter(1, 0, 0, monotonic_ms() - 1) == kFenced);
  CHECK(ring.unsubmitted() == 1);
  CHECK(ring.enter(0, 0, 0, 0) == 0);
  CHECK(ring.enter(1, 0, 0, monotonic_ms() + 60000) == 1);
}

// An entry that the kernel refuses at once ends its batch; the rest must stay ours.
void rest_of_a_batch_is_taken_back() {
  Uring ring(8);
  ask(ring, 0, 1, IORING_OP_NOP);
  ask(ring, 1, 2, 255);
  ask(ring, 2, 3, IORING_OP_NOP);
  ask(ring, 3, 4, IORING_OP_NOP);
  CHECK(ring.enter(4, 0, 0, 0) == 2);
  CHECK(completion(ring, 1).user_data == 2 && completion(ring, 1).res == -EINVAL);
  CHECK(ring.unsubmitted() == 2);
  CHECK(ring.enter(0, 2, 0, 0) == 0);
  ask(ring, 0, 3, IORING_OP_NOP);
  ask(ring, 1, 4, IORING_OP_NOP);
  CHECK(ring.enter(2, 0, 0, 0) == 2);
  CHECK(completion(ring, 2).user_data == 3 && completion(ring, 3).user_data == 4);
}

void looking_comes_before_sleeping() {
  Uring ring(8);
  ask(ring, 0, 1, IORING_OP_NOP);
  CHECK(ring.enter(1, 0, 1000, 0, 100) == 1);
  CHECK(!ring.slept());
  double before = monotonic_ms();
  CHECK(ring.enter(0, 1, 30, 0, 5000) == 0);
  CHECK(ring.slept());
  CHECK(monotonic_ms() - before >= 35);
  before = monotonic_ms();
  CHECK(ring.enter(0, 0, 0, 0, 1e6) == 0);
  CHECK(!ring.slept() && monotonic_ms() - before < 500);
  // what comes while it looks needs the kernel to be entered: a time-out of 5 ms
  __kernel_timespec soon{0, 5 * 1000 * 1000};
  ask(ring, 0, 2, IORING_OP_TIMEOUT);
  auto* entry = static_cast<io_uring_sqe*>(ring.sqes());
  entry->addr = reinterpret_cast<uint64_t>(&soon);
  entry->len = 1;
  CHECK(ring.enter(1, 0, 10000, 0, 2e6) == 1);
  CHECK(!ring.slept());
  CHECK(completion(ring, 1).user_data == 2 && completion(ring, 1).res == -ETIME);
}

void what_the_kernel_refused_is_not_waited_for() {
  Uring ring(8);
  ask(ring, 0, 1, 255);
  ask(ring, 1, 2, IORING_OP_NOP);
  CHECK(ring.enter(2, 0, 5000, 0, 1e6) == 1);
  CHECK(ring.unsubmitted() == 1);
  CHECK(!ring.slept());
}

}  // namespace

int main() {
  rounds_go_around_the_queues();
  waiting_ends_in_time();
  fence_lets_nothing_out();
  looking_comes_before_sleeping();
  what_the_kernel_refused_is_not_waited_for();
  rest_of_a_batch_is_taken_back();
}
