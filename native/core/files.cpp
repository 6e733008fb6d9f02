#include "files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

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

// Both nodes of a pair open a shared disk, so the lasting open claims nothing; this one only asks.
int probe_exclusive(const char* path) {
  const int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (fd < 0) return -errno;
  close(fd);
  return 0;
}

int set_aside(const std::string& path) {
  return rename(path.c_str(), (path + ".damaged").c_str()) == 0 ? 0 : -errno;
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
  if (stat(path, &info) == 0) {
    *found = static_cast<size_t>(info.st_size) == byte_length ? Found::kKept : Found::kResized;
    if (*found == Found::kResized) {
      const int moved = set_aside(path);
      if (moved < 0) return moved;
    }
  }
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  // Without its blocks a full tmpfs would be a SIGBUS in the middle of a write.
  int result = -posix_fallocate(fd, 0, static_cast<off_t>(byte_length));
  if (result == 0) {
    void* mapped = mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (mapped == MAP_FAILED) {
      result = -errno;
    } else {
      *address = mapped;
    }
  }
  close(fd);
  if (result < 0 && *found != Found::kKept) unlink(path);
  return result;
}

int allocate_pages(size_t byte_length, void** address) {
  void* mapped = mmap(nullptr, byte_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return -errno;
  *address = mapped;
  return 0;
}

Persistence persistence_of(const char* directory) {
  struct statfs system {};
  if (statfs(directory, &system) != 0 || system.f_type == TMPFS_MAGIC) return Persistence::kVolatile;
  struct statx info {};
  if (statx(AT_FDCWD, directory, 0, STATX_BASIC_STATS, &info) != 0) return Persistence::kVolatile;
  return (info.stx_attributes & STATX_ATTR_DAX) != 0 ? Persistence::kPersistent : Persistence::kVolatile;
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
