#include "launch/status_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace ganymede {

StatusLine::StatusLine() : terminal_(::isatty(STDERR_FILENO) != 0) {}

StatusLine::~StatusLine() {
  if (terminal_ && shown_) fmt::print(stderr, "\n");
}

void StatusLine::show(const std::string& line, double seconds) {
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", line);
  } else if (seconds >= next_) {
    fmt::print(stderr, "{}\n", line);
    next_ = seconds + 10;
  } else {
    return;
  }
  std::fflush(stderr);
  shown_ = true;
}

}  // namespace ganymede
