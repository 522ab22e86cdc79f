#include "datasets/block_cache.h"

#include <algorithm>

namespace ganymede {

BlockCache::Block BlockCache::get(Key key, std::int64_t bytes,
                                  const std::function<void(std::span<std::byte>)>& make) {
  const std::shared_ptr<Slot> slot = slot_of(key, bytes);
  const std::lock_guard lock(slot->making);
  if (!slot->made) make({slot->bytes.get(), static_cast<std::size_t>(slot->size)});
  slot->made = true;
  return {slot, slot->bytes.get()};
}

std::shared_ptr<BlockCache::Slot> BlockCache::slot_of(Key key, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const auto found = slots_.find(key); found != slots_.end()) {
    uses_.splice(uses_.begin(), uses_, found->second->use);
    return found->second;
  }
  const auto slot = std::make_shared<Slot>();
  slot->size = bytes;
  slot->bytes = drop_until(std::max<std::int64_t>(0, capacity_ - bytes), bytes);
  if (!slot->bytes)
    slot->bytes = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
  slot->use = uses_.insert(uses_.begin(), key);
  slots_.emplace(key, slot);
  total_ += bytes;
  return slot;
}

/// Memory of a dropped block that is just as large, for fresh memory costs a page fault every 4 KiB.
std::unique_ptr<std::byte[]> BlockCache::drop_until(std::int64_t total, std::int64_t wanted) {
  std::unique_ptr<std::byte[]> spare;
  while (total_ > total && !uses_.empty()) {
    const auto oldest = slots_.find(uses_.back());
    const std::shared_ptr<Slot> slot = std::move(oldest->second);
    slots_.erase(oldest);
    uses_.pop_back();
    total_ -= slot->size;
    if (slot.use_count() == 1 && slot->size == wanted) spare = std::move(slot->bytes);
  }
  return spare;
}

}  // namespace ganymede
