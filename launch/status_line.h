#pragma once

#include <string>

namespace ganymede {

/// One line on stderr that says how far some work is: rewritten in place on a terminal, elsewhere repeated
/// every ten seconds, so that short work leaves no trace in a log.
class StatusLine {
 public:
  StatusLine();
  /// Ends a line that was shown in place.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// `seconds` since the work began.
  void show(const std::string& line, double seconds);

 private:
  bool terminal_;
  bool shown_ = false;
  double next_ = 10;
};

}  // namespace ganymede
