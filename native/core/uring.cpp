#include "uring.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <system_error>

#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SETUP_TASKRUN_FLAG
#define IORING_SETUP_TASKRUN_FLAG (1U << 9)
#endif
#ifndef IORING_SQ_TASKRUN
#define IORING_SQ_TASKRUN (1U << 2)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

namespace pollux {
namespace {

int setup(uint32_t entries, io_uring_params* params) {
  return static_cast<int>(syscall(__NR_io_uring_setup, entries, params));
}

// The best flags first; older kernels refuse those that they do not know.
int setup_best(uint32_t entries, io_uring_params* params) {
  const uint32_t wishes[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  for (const uint32_t flags : wishes) {
    *params = {};
    params->flags = flags | IORING_SETUP_CLAMP;
    const int fd = setup(entries, params);
    if (fd >= 0 || errno != EINVAL) return fd;
  }
  return -1;
}

uint32_t* at(void* base, uint32_t offset) {
  return reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(base) + offset);
}

__kernel_timespec timespec_of(double ms) {
  __kernel_timespec time{};
  time.tv_sec = static_cast<int64_t>(ms / 1e3);
  time.tv_nsec = static_cast<int64_t>(std::fmod(ms, 1e3) * 1e6);
  return time;
}

}  // namespace

double monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

Uring::Uring(uint32_t entries) {
  io_uring_params params{};
  fd_ = setup_best(entries, &params);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "io_uring_setup");
  try {
    map(params);
  } catch (...) {
    release();
    throw;
  }
}

Uring::~Uring() { release(); }

void Uring::map(const io_uring_params& params) {
  if ((params.features & IORING_FEAT_SINGLE_MMAP) == 0 || (params.features & IORING_FEAT_EXT_ARG) == 0) {
    throw std::system_error(ENOSYS, std::generic_category(),
                            "this kernel's io_uring is older than Linux 5.11");
  }
  sq_entries_ = params.sq_entries;
  cq_entries_ = params.cq_entries;
  rings_bytes_ = std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                                  params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  sqes_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
  rings_ =
      mmap(nullptr, rings_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, IORING_OFF_SQ_RING);
  sqes_ = mmap(nullptr, sqes_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, IORING_OFF_SQES);
  if (rings_ == MAP_FAILED || sqes_ == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "mmap of io_uring");
  }
  sq_head_ = at(rings_, params.sq_off.head);
  sq_tail_ = at(rings_, params.sq_off.tail);
  sq_array_ = at(rings_, params.sq_off.array);
  sq_flags_ = at(rings_, params.sq_off.flags);
  flags_work_ = (params.flags & IORING_SETUP_TASKRUN_FLAG) != 0;
  cq_head_ = at(rings_, params.cq_off.head);
  cq_tail_ = at(rings_, params.cq_off.tail);
  cqes_offset_ = params.cq_off.cqes;
}

void Uring::release() {
  if (sqes_ != nullptr && sqes_ != MAP_FAILED) munmap(sqes_, sqes_bytes_);
  if (rings_ != nullptr && rings_ != MAP_FAILED) munmap(rings_, rings_bytes_);
  if (fd_ >= 0) close(fd_);
}

// The kernel reads nothing of the queue but inside of `enter`, so the array always starts at its first entry.
void Uring::publish(uint32_t to_submit) {
  const uint32_t tail = *sq_tail_;
  for (uint32_t i = 0; i < to_submit; ++i) sq_array_[(tail + i) & (sq_entries_ - 1)] = i;
  __atomic_store_n(sq_tail_, tail + to_submit, __ATOMIC_RELEASE);
}

uint32_t Uring::ready() const { return __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE) - *cq_head_; }

long Uring::call(uint32_t to_submit, uint32_t wait, double timeout_ms) {
  const __kernel_timespec timeout = timespec_of(std::max(0.0, timeout_ms));
  io_uring_getevents_arg argument{};
  if (timeout_ms > 0) argument.ts = reinterpret_cast<uint64_t>(&timeout);
  const uint32_t flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  return syscall(__NR_io_uring_enter, fd_, to_submit, wait, flags, &argument, sizeof(argument));
}

void Uring::spin(double spin_us) {
  const double until_ms = monotonic_ms() + spin_us / 1e3;
  while (ready() == 0 && monotonic_ms() < until_ms) {
    sched_yield();
    const bool has_work = (__atomic_load_n(sq_flags_, __ATOMIC_ACQUIRE) & IORING_SQ_TASKRUN) != 0;
    if (has_work || !flags_work_) call(0, 0, 0);
  }
}

int Uring::enter(uint32_t to_submit, uint32_t consumed, double timeout_ms, double not_after_ms,
                 double spin_us) {
  assert(to_submit <= sq_entries_ && consumed <= cq_entries_);
  if (consumed > 0) __atomic_store_n(cq_head_, *cq_head_ + consumed, __ATOMIC_RELEASE);
  unsubmitted_ = to_submit;
  slept_ = false;
  // The last look at the clock before the kernel: a process that was stopped lets nothing out.
  if (not_after_ms > 0 && monotonic_ms() >= not_after_ms) return kFenced;
  publish(to_submit);

  const bool waits = timeout_ms != 0;
  const bool spins = waits && spin_us > 0;
  long result = call(to_submit, waits && !spins ? 1 : 0, timeout_ms);
  int error = result < 0 ? errno : 0;
  slept_ = waits && !spins;
  // what was not taken has to go first
  if (spins && result == static_cast<long>(to_submit)) {
    spin(spin_us);
    slept_ = ready() == 0;
    if (slept_ && call(0, 1, timeout_ms) < 0) error = errno;
  }

  // What was not taken is taken back, so that the fence holds for it the next time, too.
  const uint32_t head = __atomic_load_n(sq_head_, __ATOMIC_ACQUIRE);
  unsubmitted_ = *sq_tail_ - head;
  if (unsubmitted_ > 0) __atomic_store_n(sq_tail_, head, __ATOMIC_RELEASE);

  const uint32_t ready = this->ready();
  const bool is_expected =
      error == 0 || error == ETIME || error == EINTR || error == EAGAIN || error == EBUSY;
  return ready > 0 || is_expected ? static_cast<int>(ready) : -error;
}

}  // namespace pollux
