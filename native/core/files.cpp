#include "files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

namespace pollux {
namespace {

int measure(int fd, const struct stat& info, OpenedDisk* disk) {
  disk->device = S_ISBLK(info.st_mode) ? info.st_rdev : info.st_dev;
  disk->inode = S_ISBLK(info.st_mode) ? 0 : info.st_ino;
  if (!disk->is_block_device) {
    disk->byte_length = static_cast<uint64_t>(info.st_size);
    return 0;
  }
  int sector = 512;
  if (ioctl(fd, BLKGETSIZE64, &disk->byte_length) != 0 || ioctl(fd, BLKSSZGET, &sector) != 0) return -errno;
  disk->sector_bytes = static_cast<uint32_t>(sector);
  return 0;
}

constexpr int kProbes = 10;
constexpr useconds_t kProbePauseUs = 10'000;

// Both nodes of a pair open a shared disk, so the lasting open claims nothing; this one only asks. The
// partner may be asking at the same moment, hence again.
int probe_exclusive(const char* path) {
  int error = 0;
  for (int i = 0; i < kProbes; ++i) {
    const int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0) return close(fd);
    error = -errno;
    if (error != -EBUSY) break;
    usleep(kProbePauseUs);
  }
  return error;
}

int set_aside(const std::string& path) {
  return rename(path.c_str(), (path + ".damaged").c_str()) == 0 ? 0 : -errno;
}

void sync_directory(const std::string& path) {
  const auto slash = path.rfind('/');
  const int fd =
      open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

// On DAX the file's metadata are durable before a page can be written; elsewhere there is no such mapping.
void* map_synchronous(int fd, size_t byte_length) {
  constexpr int flags = MAP_SHARED_VALIDATE | MAP_SYNC | MAP_POPULATE;
  return mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, flags, fd, 0);
}

int map_whole(int fd, size_t byte_length, void** address) {
  // Without its blocks a full tmpfs would be a SIGBUS in the middle of a write.
  const int full = posix_fallocate(fd, 0, static_cast<off_t>(byte_length));
  if (full != 0) return -full;
  void* mapped = map_synchronous(fd, byte_length);
  if (mapped == MAP_FAILED) {
    mapped = mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  }
  if (mapped == MAP_FAILED) return -errno;
  *address = mapped;
  return 0;
}

int map_existing(const std::string& path, size_t byte_length, void** address) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = map_whole(fd, byte_length, address);
  close(fd);
  return result;
}

int map_new(const std::string& path, size_t byte_length, void** address) {
  const std::string unnamed = path + ".new";
  const int fd = open(unnamed.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  int result = map_whole(fd, byte_length, address);
  close(fd);
  if (result == 0 && rename(unnamed.c_str(), path.c_str()) != 0) {
    result = -errno;
    munmap(*address, byte_length);
  }
  if (result < 0) unlink(unnamed.c_str());
  sync_directory(path);
  return result;
}

}  // namespace

int open_disk(const char* path, OpenedDisk* disk) {
  struct stat info {};
  if (stat(path, &info) != 0) return -errno;
  if (!S_ISBLK(info.st_mode) && !S_ISREG(info.st_mode)) return -ENOTBLK;
  disk->is_block_device = S_ISBLK(info.st_mode);
  if (disk->is_block_device) {
    const int busy = probe_exclusive(path);
    if (busy < 0) return busy;
  }
  disk->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
  if (disk->fd < 0 && errno == EINVAL) {
    disk->is_direct = false;
    disk->fd = open(path, O_RDWR | O_CLOEXEC);
  }
  if (disk->fd < 0) return -errno;
  const int result = fstat(disk->fd, &info) == 0 ? measure(disk->fd, info, disk) : -errno;
  if (result < 0) {
    close(disk->fd);
    disk->fd = -1;
  }
  return result;
}

int map_shared(const char* path, size_t byte_length, void** address, Found* found) {
  struct stat info {};
  *found = Found::kNew;
  if (stat(path, &info) != 0) return errno == ENOENT ? map_new(path, byte_length, address) : -errno;
  if (!S_ISREG(info.st_mode)) return -EINVAL;
  *found = static_cast<size_t>(info.st_size) == byte_length ? Found::kKept : Found::kResized;
  if (*found == Found::kKept) return map_existing(path, byte_length, address);
  const int moved = set_aside(path);
  return moved < 0 ? moved : map_new(path, byte_length, address);
}

// Memory that is smaller may be touched only in part, and would take up much more than that.
constexpr size_t kHugeFrom = size_t{16} << 20;

int allocate_pages(size_t byte_length, void** address) {
  void* mapped = mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return -errno;
  // a cache is read all over: fewer misses of the TLB. Whether the kernel has such pages, is its own affair.
  if (byte_length >= kHugeFrom) madvise(mapped, byte_length, MADV_HUGEPAGE);
  *address = mapped;
  return 0;
}

Persistence persistence_of(const char* directory) {
  const int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return Persistence::kVolatile;
  const auto byte_length = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* mapped = posix_fallocate(fd, 0, static_cast<off_t>(byte_length)) == 0
                     ? map_synchronous(fd, byte_length)
                     : MAP_FAILED;
  close(fd);
  if (mapped == MAP_FAILED) return Persistence::kVolatile;
  munmap(mapped, byte_length);
  return Persistence::kPersistent;
}

int preallocate(const char* path, uint64_t byte_length) {
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  const int result = -posix_fallocate(fd, 0, static_cast<off_t>(byte_length));
  close(fd);
  return result;
}

int lock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno; }

}  // namespace pollux
