#include "threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <cerrno>

namespace pollux {

int keep_on_cpu(int cpu) {
  // the first thread of the process is never kept anywhere: it has what the host and its containers allow now
  cpu_set_t cpus{};
  if (sched_getaffinity(getpid(), sizeof(cpus), &cpus) != 0) return -errno;
  if (cpu >= 0) {
    if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &cpus)) return -EINVAL;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
  }
  return sched_setaffinity(0, sizeof(cpus), &cpus) == 0 ? 0 : -errno;
}

}  // namespace pollux
