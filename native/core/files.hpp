#pragma once
// Disks and shared memory. All functions return -errno on failure unless they say otherwise.
#include <cstddef>
#include <cstdint>

namespace pollux {

struct OpenedDisk {
  int fd = -1;
  uint64_t byte_length = 0;
  uint32_t sector_bytes = 512;
  bool is_block_device = false;
  /// false: the file system has no O_DIRECT, writes go through the page cache
  bool is_direct = true;
  uint64_t device = 0;
  uint64_t inode = 0;
};

/// Opens a block device or a file. A block device that is mounted or claimed gives -EBUSY.
int open_disk(const char* path, OpenedDisk* disk);

enum class Found { kKept, kNew, kResized };

/// Maps `byte_length` bytes of the file, shared, with all its blocks allocated. A file of another length is
/// renamed to PATH.damaged first. A new file gets its name when it is complete.
int map_shared(const char* path, size_t byte_length, void** address, Found* found);

/// Zeroed, page-aligned, private to the process.
int allocate_pages(size_t byte_length, void** address);

enum class Persistence { kVolatile, kPersistent };
/// Whether what is mapped from this directory survives a loss of power: only DAX file systems can map with
/// MAP_SYNC. The processor's caches must be inside of the power-fail domain (eADR); that cannot be asked for.
Persistence persistence_of(const char* directory);

/// Allocates the blocks of a file of this length, made if it is not there.
int preallocate(const char* path, uint64_t byte_length);

/// Exclusive lock without waiting: 0, or -EWOULDBLOCK.
int lock_file(int fd);

}  // namespace pollux
