#include "threads.hpp"

#include <sched.h>

#include <cerrno>

namespace pollux {
namespace {

struct Allowed {
  cpu_set_t cpus{};
  int error = 0;

  Allowed() { error = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? 0 : -errno; }
};

// As it was before the thread was kept anywhere: a container may allow some CPUs only.
const Allowed& allowed() {
  thread_local const Allowed before;
  return before;
}

}  // namespace

int keep_on_cpu(int cpu) {
  const Allowed& before = allowed();
  if (before.error < 0) return before.error;
  if (cpu >= CPU_SETSIZE) return -EINVAL;
  cpu_set_t cpus = before.cpus;
  if (cpu >= 0) {
    if (!CPU_ISSET(cpu, &before.cpus)) return -EINVAL;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
  }
  return sched_setaffinity(0, sizeof(cpus), &cpus) == 0 ? 0 : -errno;
}

}  // namespace pollux
