// A thread keeps to a CPU, and is let go again.
#include "../core/threads.hpp"

#include <sched.h>

#include <cerrno>
#include <thread>

#include "check.hpp"

using namespace pollux;

namespace {

cpu_set_t allowed() {
  cpu_set_t cpus{};
  CHECK(sched_getaffinity(0, sizeof(cpus), &cpus) == 0);
  return cpus;
}

void keeps_and_is_let_go() {
  const cpu_set_t before = allowed();
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  int missing = 0;
  while (missing < CPU_SETSIZE && CPU_ISSET(missing, &before)) ++missing;

  CHECK(keep_on_cpu(first) == 0);
  const cpu_set_t kept = allowed();
  CHECK(CPU_COUNT(&kept) == 1 && CPU_ISSET(first, &kept));
  CHECK(sched_getcpu() == first);

  CHECK(keep_on_cpu(CPU_SETSIZE) == -EINVAL);
  CHECK(missing == CPU_SETSIZE || keep_on_cpu(missing) == -EINVAL);
  const cpu_set_t after_mistakes = allowed();
  CHECK(CPU_EQUAL(&after_mistakes, &kept));

  CHECK(keep_on_cpu(-1) == 0);
  const cpu_set_t after = allowed();
  CHECK(CPU_EQUAL(&after, &before));
}

}  // namespace

int main() {
  std::thread(keeps_and_is_let_go).join();
}
