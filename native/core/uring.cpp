#include "uring.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <system_error>

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
  const uint32_t wishes[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0};
  for (const uint32_t flags : wishes) {
    *params = {};
    params->flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params->cq_entries = entries * 4;
    const int fd = setup(entries, params);
    if (fd >= 0 || errno != EINVAL) return fd;
  }
  return -1;
}

uint32_t* at(void* base, uint32_t offset) { return reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(base) + offset); }

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

double monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

Uring::Uring(uint32_t entries) {
  io_uring_params params{};
  fd_ = setup_best(entries, &params);
  if (fd_ < 0) fail("io_uring_setup");
  if ((params.features & IORING_FEAT_SINGLE_MMAP) == 0 || (params.features & IORING_FEAT_EXT_ARG) == 0) {
    close(fd_);
    errno = ENOSYS;
    fail("this kernel's io_uring is too old (5.11 is needed)");
  }
  sq_entries_ = params.sq_entries;
  cq_entries_ = params.cq_entries;
  rings_bytes_ = std::max<size_t>(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                                  params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  rings_ = mmap(nullptr, rings_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, IORING_OFF_SQ_RING);
  sqes_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
  sqes_ = mmap(nullptr, sqes_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, IORING_OFF_SQES);
  if (rings_ == MAP_FAILED || sqes_ == MAP_FAILED) fail("mmap of io_uring");
  sq_head_ = at(rings_, params.sq_off.head);
  sq_tail_ = at(rings_, params.sq_off.tail);
  sq_flags_ = at(rings_, params.sq_off.flags);
  cq_head_ = at(rings_, params.cq_off.head);
  cq_tail_ = at(rings_, params.cq_off.tail);
  cqes_offset_ = params.cq_off.cqes;
  uint32_t* array = at(rings_, params.sq_off.array);
  for (uint32_t i = 0; i < sq_entries_; ++i) array[i] = i;
}

Uring::~Uring() {
  if (sqes_ != nullptr && sqes_ != MAP_FAILED) munmap(sqes_, sqes_bytes_);
  if (rings_ != nullptr && rings_ != MAP_FAILED) munmap(rings_, rings_bytes_);
  if (fd_ >= 0) close(fd_);
}

int Uring::enter(uint32_t to_submit, uint32_t consumed, uint32_t min_complete, double timeout_ms, double not_after_ms) {
  if (consumed > 0) __atomic_store_n(cq_head_, *cq_head_ + consumed, __ATOMIC_RELEASE);
  // The last look at the clock before the kernel: a process that was stopped lets nothing out.
  if (not_after_ms > 0 && monotonic_ms() >= not_after_ms) return kFenced;
  if (to_submit > 0) __atomic_store_n(sq_tail_, *sq_tail_ + to_submit, __ATOMIC_RELEASE);
  const uint32_t pending = *sq_tail_ - __atomic_load_n(sq_head_, __ATOMIC_ACQUIRE);

  __kernel_timespec timeout{};
  io_uring_getevents_arg argument{};
  if (timeout_ms >= 0) {
    timeout.tv_sec = static_cast<int64_t>(timeout_ms / 1e3);
    timeout.tv_nsec = static_cast<int64_t>(std::fmod(timeout_ms, 1e3) * 1e6);
    argument.ts = reinterpret_cast<uint64_t>(&timeout);
  }
  const uint32_t flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  const uint32_t wait = timeout_ms == 0 ? 0 : min_complete;
  const long result = syscall(__NR_io_uring_enter, fd_, pending, wait, flags, &argument, sizeof(argument));
  const uint32_t ready = __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE) - *cq_head_;
  if (result < 0 && ready == 0) {
    const bool expected = errno == ETIME || errno == EINTR || errno == EAGAIN || errno == EBUSY;
    return expected ? 0 : -errno;
  }
  return static_cast<int>(ready);
}

}  // namespace pollux
