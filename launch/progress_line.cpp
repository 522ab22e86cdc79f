#include "launch/progress_line.h"

#include <fmt/format.h>

#include "launch/process.h"

namespace ganymede {
namespace {

using Seconds = std::chrono::duration<double>;

}  // namespace

ProgressLine::ProgressLine(std::FILE* stream, double pause)
    : stream_(stream), in_place_(prints_to_terminal(stream)), pause_(pause), next_(pause) {}

ProgressLine::~ProgressLine() {
  if (open_) std::fputc('\n', stream_);
}

void ProgressLine::start(std::int64_t done) {
  started_ = advanced_ = Clock::now();
  next_ = pause_;
  first_ = done_ = done;
  rate_ = 0;
}

void ProgressLine::advance(std::int64_t done, std::int64_t total) {
  const auto now = Clock::now();
  const double since = Seconds(now - advanced_).count();
  rate_ = since > 0 ? static_cast<double>(done - done_) / since : 0;
  advanced_ = now;
  done_ = done;
  total_ = total;
}

double ProgressLine::seconds() const {
  return Seconds(Clock::now() - started_).count();
}

double ProgressLine::seconds_left() const {
  if (done_ <= first_) return 0;
  return seconds() / static_cast<double>(done_ - first_) * static_cast<double>(total_ - done_);
}

void ProgressLine::show(const std::string& text) {
  if (in_place_) {
    fmt::print(stream_, "\r\x1b[K{}", text);
  } else if (seconds() >= next_) {
    fmt::print(stream_, "{}\n", text);
    next_ = seconds() + pause_;
  } else {
    return;
  }
  open_ = in_place_;
  std::fflush(stream_);
}

void ProgressLine::finish() {
  if (open_) fmt::print(stream_, "\n");
  std::fflush(stream_);
  open_ = false;
}

}  // namespace ganymede
