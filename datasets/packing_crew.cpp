#include "datasets/packing_crew.h"

#include <system_error>

#include "core/error.h"

namespace ganymede {

PackingCrew::PackingCrew(ImageSource& source, ImageConversion& conversion, Write write, int decoders)
    : source_(source), conversion_(conversion), write_(std::move(write)) {
  threads_.reserve(static_cast<std::size_t>(decoders) + 1);
  try {
    threads_.emplace_back([this] { guarded(-1, [this] { read(); }); });
    for (; started_ < decoders; ++started_) threads_.emplace_back([this] { decode(); });
  } catch (const std::system_error& error) {
    if (started_ > 0) return;  // those do the work
    join();
    fail(ExitCode::memory, "cannot start a thread to pack with: {}: raise the limits of processes and memory",
         error.what());
  }
}

bool PackingCrew::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, time, [&] { return decoded_ == started_; });
}

void PackingCrew::finish() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (failure_) std::rethrow_exception(failure_);
}

void PackingCrew::read() {
  source_.read([this](std::int64_t index, std::vector<std::byte> bytes) {
    const std::size_t size = bytes.capacity();
    return queue_.push({index, std::move(bytes)}, size);
  });
  queue_.close();
}

void PackingCrew::decode() {
  std::vector<std::byte> planes;
  guarded(-1, [&] { planes.resize(conversion_.image_bytes()); });
  while (const auto stored = queue_.pop())
    guarded(stored->index, [&] {
      conversion_.convert(stored->index, stored->bytes, planes);
      write_(stored->index, planes);
      ++done_;
    });
  const std::lock_guard lock(mutex_);
  ++decoded_;
  ended_.notify_all();
}

void PackingCrew::guarded(std::int64_t index, const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!failure_ || index < failed_) {
        failure_ = std::current_exception();
        failed_ = index;
      }
    }
    queue_.cancel();
  }
}

void PackingCrew::join() {
  queue_.cancel();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace ganymede
