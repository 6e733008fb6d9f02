#pragma once
// io_uring over raw system calls: one submission and one wait per turn. No liburing: the kernel's own
// header is enough, and no shared library is needed at run time.
#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>

namespace pollux {

/// Returned by `Uring::enter` when the time after which nothing may leave had come: nothing was submitted.
constexpr int kFenced = -125;  // -ECANCELED

class Uring {
 public:
  /// Throws std::system_error (errno of io_uring_setup or mmap).
  explicit Uring(uint32_t entries);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  /// Hands the first `to_submit` entries of the submission array to the kernel, gives `consumed` completions
  /// back, and waits for one for at most `timeout_ms` (0: not at all, negative: for ever). If `not_after_ms`
  /// is not 0 and has come, nothing is submitted. Returns completions ready, kFenced, or -errno.
  ///
  /// Before it sleeps it looks for a completion for `spin_us`: to be woken takes tens of microseconds, on a
  /// virtual machine even more. Meanwhile it leaves the processor to whoever wants it.
  int enter(uint32_t to_submit, uint32_t consumed, double timeout_ms, double not_after_ms,
            double spin_us = 0);

  /// Whether the last `enter` slept: what came, came later than it had looked for it.
  bool slept() const { return slept_; }

  /// How many of the entries the last `enter` did not hand over; they are the last ones of the array.
  uint32_t unsubmitted() const { return unsubmitted_; }

  void* sqes() const { return sqes_; }
  size_t sqes_bytes() const { return sqes_bytes_; }
  /// The completion queue's mapping, and where its entries begin in it.
  void* completions() const { return rings_; }
  size_t completions_bytes() const { return rings_bytes_; }
  uint32_t completions_offset() const { return cqes_offset_; }
  uint32_t sq_entries() const { return sq_entries_; }
  uint32_t cq_entries() const { return cq_entries_; }

 private:
  void map(const io_uring_params& params);
  void release();
  void publish(uint32_t to_submit);
  uint32_t ready() const;
  long call(uint32_t to_submit, uint32_t wait, double timeout_ms);
  void spin(double spin_us);

  int fd_ = -1;
  uint32_t sq_entries_ = 0;
  uint32_t cq_entries_ = 0;
  uint32_t cqes_offset_ = 0;
  void* rings_ = nullptr;
  size_t rings_bytes_ = 0;
  void* sqes_ = nullptr;
  size_t sqes_bytes_ = 0;
  uint32_t* sq_head_ = nullptr;
  uint32_t* sq_tail_ = nullptr;
  uint32_t* sq_array_ = nullptr;
  uint32_t* sq_flags_ = nullptr;
  /// the kernel says in `sq_flags_` when it has work to do in `enter`
  bool flags_work_ = false;
  bool slept_ = false;
  uint32_t unsubmitted_ = 0;
  uint32_t* cq_head_ = nullptr;
  uint32_t* cq_tail_ = nullptr;
};

/// CLOCK_MONOTONIC in milliseconds: goes on while the process is stopped.
double monotonic_ms();

}  // namespace pollux
