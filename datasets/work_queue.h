#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace ganymede {

/// A queue between one thread that reads and several that work, bounded by the bytes that wait in it.
template <class Item>
class WorkQueue {
 public:
  explicit WorkQueue(std::size_t byte_limit) : byte_limit_(byte_limit) {}

  /// Waits for room (an item larger than the limit goes in alone). False once cancelled.
  bool push(Item item, std::size_t bytes) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return cancelled_ || items_.empty() || bytes_ + bytes <= byte_limit_; });
    if (cancelled_) return false;
    bytes_ += bytes;
    items_.emplace_back(std::move(item), bytes);
    lock.unlock();
    filled_.notify_one();
    return true;
  }

  /// Waits for an item; none once the queue is closed and empty, or cancelled.
  std::optional<Item> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return cancelled_ || closed_ || !items_.empty(); });
    if (cancelled_ || items_.empty()) return std::nullopt;
    auto [item, bytes] = std::move(items_.front());
    items_.pop_front();
    bytes_ -= bytes;
    lock.unlock();
    room_.notify_one();
    return std::move(item);
  }

  /// No more will be pushed.
  void close() { set(closed_); }
  /// Wakes everyone and hands out nothing more.
  void cancel() { set(cancelled_); }

 private:
  void set(bool& flag) {
    {
      const std::lock_guard lock(mutex_);
      flag = true;
    }
    filled_.notify_all();
    room_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<std::pair<Item, std::size_t>> items_;
  std::size_t bytes_ = 0;
  std::size_t byte_limit_;
  bool closed_ = false;
  bool cancelled_ = false;
};

}  // namespace ganymede
