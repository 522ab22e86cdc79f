#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ganymede {

/// How far a long work is, for a person: rate and time left. On a terminal one line that is overwritten;
/// elsewhere a plain line a report.
class ProgressLine {
 public:
  /// `overwrite`: one line for a person at a terminal. mpirun gives its ranks a terminal of its own, whatever
  /// its output goes to: under it, plain lines.
  explicit ProgressLine(bool overwrite) : overwrite_(overwrite) {}
  /// Starts the clock at `done` of `total` items, `images` images already seen.
  void start(std::int64_t done, std::int64_t total, std::int64_t images);
  /// Prints "step 120/3000  118.2 images/s  3m12s left  <figures>".
  void update(std::int64_t done, std::int64_t images, const std::string& figures);
  /// Ends an overwritten line, so that what follows begins on its own.
  void finish();

  double images_per_second() const { return rate_; }
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point started_, updated_;
  std::int64_t total_ = 0, first_ = 0, last_images_ = 0;
  double rate_ = 0;
  bool overwrite_, open_ = false;
};

/// "3h05m", "3m12s", "12s"
std::string duration_text(double seconds);

}  // namespace ganymede
