#pragma once

#include <c10/core/Event.h>

#include <chrono>
#include <optional>

namespace ganymede {

/// Time between two points of what a device does: of the current stream on a GPU, where nothing waits for the
/// measurement; of the calling thread on the host.
class Stopwatch {
 public:
  explicit Stopwatch(c10::Device device) : device_(device) {}
  void start();
  void stop();
  /// Seconds from start() to stop(); waits for the device to have come to stop(). 0 before the first stop().
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Events {
    c10::Event start, stop;
  };
  c10::Stream stream() const;

  c10::Device device_;
  Clock::time_point start_, stop_;
  std::optional<Events> events_;
};

}  // namespace ganymede
