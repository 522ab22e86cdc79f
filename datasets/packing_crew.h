#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "datasets/image_conversion.h"
#include "datasets/work_queue.h"

namespace ganymede {

/// One thread that reads a source and several that decode, convert and write its images. The first failure stops all; of
/// several that of the lowest image is told.
class PackingCrew {
 public:
  /// Takes the planes of an image. Any of the threads.
  using Write = std::function<void(std::int64_t index, std::span<const std::byte> planes)>;

  /// Begins. Source and conversion must outlive it. Throws Error(memory) where no thread starts.
  PackingCrew(ImageSource& source, ImageConversion& conversion, Write write, int decoders);
  ~PackingCrew() { join(); }
  PackingCrew(const PackingCrew&) = delete;
  PackingCrew& operator=(const PackingCrew&) = delete;

  std::int64_t done() const { return done_; }
  /// Whether all decoders have ended, after waiting for it a while.
  bool wait(std::chrono::milliseconds time);
  /// Waits for the end and throws what stopped the work.
  void finish();

 private:
  struct Stored {
    std::int64_t index;
    std::vector<std::byte> bytes;
  };
  void read();
  void decode();
  void guarded(std::int64_t index, const std::function<void()>& work);
  void join();

  static constexpr std::size_t queue_bytes = 64 << 20;
  ImageSource& source_;
  ImageConversion& conversion_;
  Write write_;
  WorkQueue<Stored> queue_{queue_bytes};
  std::atomic<std::int64_t> done_ = 0;
  std::mutex mutex_;
  std::condition_variable ended_;
  int started_ = 0;  ///< decoders
  int decoded_ = 0;  ///< decoders that have ended
  std::exception_ptr failure_;
  std::int64_t failed_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace ganymede
