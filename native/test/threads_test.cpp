// A thread keeps to a CPU, and is let go again.
#include "../core/threads.hpp"

#include <sched.h>

#include <cerrno>

#include "check.hpp"

using namespace pollux;

int main() {
  cpu_set_t before{};
  CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  int missing = 0;
  while (missing < CPU_SETSIZE && CPU_ISSET(missing, &before)) ++missing;

  CHECK(keep_on_cpu(first) == 0);
  cpu_set_t now{};
  CHECK(sched_getaffinity(0, sizeof(now), &now) == 0);
  CHECK(CPU_COUNT(&now) == 1 && CPU_ISSET(first, &now));
  CHECK(sched_getcpu() == first);

  CHECK(keep_on_cpu(-1) == 0);
  CHECK(sched_getaffinity(0, sizeof(now), &now) == 0);
  CHECK(CPU_EQUAL(&now, &before));

  CHECK(keep_on_cpu(CPU_SETSIZE) == -EINVAL);
  CHECK(missing == CPU_SETSIZE || keep_on_cpu(missing) == -EINVAL);
}
