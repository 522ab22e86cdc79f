#include "launch/progress_line.h"

#include <fmt/format.h>

#include <cstdio>

namespace ganymede {

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

void ProgressLine::start(std::int64_t done, std::int64_t total, std::int64_t images) {
  started_ = updated_ = Clock::now();
  first_ = done;
  total_ = total;
  last_images_ = images;
}

double ProgressLine::seconds() const {
  return std::chrono::duration<double>(Clock::now() - started_).count();
}

void ProgressLine::update(std::int64_t done, std::int64_t images, const std::string& figures) {
  const auto now = Clock::now();
  const double since = std::chrono::duration<double>(now - updated_).count();
  rate_ = since > 0 ? static_cast<double>(images - last_images_) / since : 0;
  updated_ = now;
  last_images_ = images;
  const double left =
      done > first_ ? seconds() / static_cast<double>(done - first_) * static_cast<double>(total_ - done) : 0;
  const std::string text = fmt::format("step {}/{}  {:.1f} images/s  {} left  {}", done, total_, rate_,
                                       duration_text(left), figures);
  if (overwrite_)
    fmt::print("\r\x1b[K{}", text);
  else
    fmt::print("{}\n", text);
  std::fflush(stdout);
  open_ = overwrite_;
}

void ProgressLine::finish() {
  if (open_) fmt::print("\n");
  std::fflush(stdout);
  open_ = false;
}

}  // namespace ganymede
