#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace ganymede {

/// One line that says how far a long work is: rewritten in place at a person's terminal, plain lines
/// elsewhere.
///
///     ProgressLine line(stderr, 10);
///     work([&](std::int64_t done) {
///       line.advance(done, total);
///       line.show(fmt::format("{} of {}, {} left", done, total, duration_text(line.seconds_left())));
///     });
class ProgressLine {
 public:
  /// `pause`: the least seconds between plain lines, and before the first; 0 prints each.
  explicit ProgressLine(std::FILE* stream, double pause = 0);
  /// Ends the line, as finish() does.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Starts the clock anew, at `done` items; without this call it runs from the construction, at none.
  void start(std::int64_t done);
  /// Says that `done` of `total` items are done; the figures below are those of this moment.
  void advance(std::int64_t done, std::int64_t total);
  /// Prints `text`, or passes over it within the pause.
  void show(const std::string& text);
  /// Ends a line that was rewritten in place, so that what follows begins on its own.
  void finish();

  /// Items a second between the last two calls of start() and advance().
  double rate() const { return rate_; }
  /// Since the start.
  double seconds() const;
  /// At the mean rate since the start; 0 before anything is done.
  double seconds_left() const;

 private:
  using Clock = std::chrono::steady_clock;
  std::FILE* stream_;
  bool in_place_;
  double pause_, next_;
  Clock::time_point started_ = Clock::now(), advanced_ = started_;
  std::int64_t first_ = 0, done_ = 0, total_ = 0;
  double rate_ = 0;
  bool open_ = false;
};

}  // namespace ganymede
