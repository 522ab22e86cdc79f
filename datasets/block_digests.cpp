#include "datasets/block_digests.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/hash.h"

namespace ganymede {

std::vector<std::byte> read_block(const File& file, const BlockedExtent& extent, std::int64_t block) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(extent.size_of(block)));
  file.read_at(extent.first_byte(block), bytes);
  return bytes;
}

std::vector<std::uint64_t> block_digests(const File& file, const BlockedExtent& extent, int threads) {
  std::vector<std::uint64_t> digests(static_cast<std::size_t>(extent.blocks()));
  parallel_for_each(extent.blocks(), threads, [&](std::int64_t block) {
    digests[static_cast<std::size_t>(block)] = Xxh3::of(read_block(file, extent, block));
  });
  return digests;
}

void parallel_for_each(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  std::exception_ptr error;
  std::mutex mutex;
  const auto loop = [&] {
    try {
      for (std::int64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  try {
    for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, count); ++i) others.emplace_back(loop);
  } catch (const std::system_error&) {
    // The system gives no more threads: those that started do the work.
  }
  loop();
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace ganymede
