#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/files.h"

namespace ganymede {

/// Consecutive bytes of a file, cut into blocks of `block_bytes` of which the last may be shorter.
struct BlockedExtent {
  std::int64_t offset = 0, bytes = 0, block_bytes = 1;

  std::int64_t blocks() const { return (bytes + block_bytes - 1) / block_bytes; }
  std::int64_t first_byte(std::int64_t block) const { return offset + block * block_bytes; }
  std::int64_t size_of(std::int64_t block) const {
    return block + 1 < blocks() ? block_bytes : bytes - block * block_bytes;
  }
};

/// The bytes of one block.
std::vector<std::byte> read_block(const File& file, const BlockedExtent& extent, std::int64_t block);

/// XXH3-64 of every block, read and hashed by `threads` threads.
std::vector<std::uint64_t> block_digests(const File& file, const BlockedExtent& extent, int threads);

/// Calls `work(i)` for every i in [0, count) on `threads` threads, or as many of them as the system gives. The
/// first exception ends the work and is rethrown.
void parallel_for_each(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work);

}  // namespace ganymede
