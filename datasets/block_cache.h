#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

namespace ganymede {

/// Blocks of bytes that are costly to make, of which those used last are kept. Any number of threads may ask;
/// a block that several ask for at once is made by one of them while the others wait. At most `capacity`
/// bytes are held, or one block, and what callers still hold on to.
class BlockCache {
 public:
  using Key = std::pair<std::int64_t, std::int64_t>;
  /// Keeps the bytes alive, also when the cache has dropped the block.
  using Block = std::shared_ptr<const std::byte>;

  explicit BlockCache(std::int64_t capacity) : capacity_(capacity) {}

  std::int64_t capacity() const { return capacity_; }
  /// The block of `bytes` bytes that `make` fills. What `make` throws is thrown here, and the block is made
  /// anew when it is asked for again.
  Block get(Key key, std::int64_t bytes, const std::function<void(std::span<std::byte>)>& make);

 private:
  struct Slot {
    std::mutex making;
    bool made = false;
    std::unique_ptr<std::byte[]> bytes;
    std::int64_t size = 0;
    std::list<Key>::iterator use;
  };
  std::shared_ptr<Slot> slot_of(Key key, std::int64_t bytes);
  std::unique_ptr<std::byte[]> drop_until(std::int64_t total, std::int64_t wanted);

  const std::int64_t capacity_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Slot>> slots_;
  std::list<Key> uses_;  ///< the latest first
  std::int64_t total_ = 0;
};

}  // namespace ganymede
