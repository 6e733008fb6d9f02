// Shared mappings, and what is refused as a disk.
#include "../core/files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "check.hpp"

using namespace pollux;

namespace {

constexpr size_t kRing = 64 * 1024;

void mapping_is_kept(const std::string& path) {
  void* first = nullptr;
  void* second = nullptr;
  Found found = Found::kKept;
  CHECK(map_shared(path.c_str(), kRing, &first, &found) == 0 && found == Found::kNew);
  static_cast<uint8_t*>(first)[kRing - 1] = 42;
  CHECK(map_shared(path.c_str(), kRing, &second, &found) == 0 && found == Found::kKept);
  CHECK(static_cast<uint8_t*>(second)[kRing - 1] == 42);
  munmap(first, kRing);
  munmap(second, kRing);
}

void other_length_is_set_aside(const std::string& path) {
  void* mapped = nullptr;
  Found found = Found::kKept;
  CHECK(map_shared(path.c_str(), 2 * kRing, &mapped, &found) == 0 && found == Found::kResized);
  CHECK(static_cast<uint8_t*>(mapped)[kRing - 1] == 0);
  munmap(mapped, 2 * kRing);
  struct stat info {};
  CHECK(stat((path + ".damaged").c_str(), &info) == 0 && info.st_size == static_cast<off_t>(kRing));
}

void odd_disks_are_refused(const std::string& folder) {
  OpenedDisk disk;
  CHECK(open_disk((folder + "/missing").c_str(), &disk) == -ENOENT);
  CHECK(open_disk(folder.c_str(), &disk) == -ENOTBLK);
  CHECK(open_disk("/dev/zero", &disk) == -ENOTBLK);
  CHECK(disk.fd == -1);
}

}  // namespace

int main() {
  char name[] = "/tmp/pollux-test-XXXXXX";
  CHECK(mkdtemp(name) != nullptr);
  const std::string folder(name);
  const std::string path = folder + "/ring";
  mapping_is_kept(path);
  other_length_is_set_aside(path);
  odd_disks_are_refused(folder);
  unlink(path.c_str());
  unlink((path + ".damaged").c_str());
  rmdir(folder.c_str());
}
