#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

namespace ganymede {

/// What is found damaged among several things that are checked one after another: one does not keep the others from
/// being checked.
///
///     Damages damages(ExitCode::dataset);
///     for (const std::string& path : paths) damages.check([&] { verify_file(path); });
///     damages.report();
class Damages {
 public:
  /// `code` is that of damage; other errors end the check.
  explicit Damages(ExitCode code) : code_(code) {}
  /// Runs `work`, and keeps the message of what damage it throws.
  void check(const std::function<void()>& work);
  /// Throws Error(code) with all messages, if there are any.
  void report() const;

 private:
  ExitCode code_;
  std::vector<std::string> messages_;
};

}  // namespace ganymede
