#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace ganymede {

/// What the process tells its launcher. The README documents the same table for users.
enum class ExitCode : int {
  done = 0,
  bug = 1,
  options = 2,
  dataset = 3,
  checkpoint = 4,  ///< or a weights file
  storage = 5,     ///< full, read-only, unwritable, or a busy run folder
  peer = 6,        ///< a peer or the network was lost
  memory = 7,
  diverged = 8,  ///< training diverged
  stopped = 75,  ///< stopped on request after saving; a batch script requeues on it
  hang = 86,     ///< ended by the watchdog
};

/// An error that a user can act on: one line that says what, where and the remedy. Libraries throw it; only
/// launch ends the process. Anything else that is thrown counts as a bug.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Throws an Error with a message formatted as by fmt::format.
template <class... Arguments>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw Error(code, fmt::format(format, std::forward<Arguments>(arguments)...));
}

/// Runs `action`. An Error that leaves it keeps its message and gets `code`: a dataset that cannot be opened
/// is a bad dataset, whatever made it so.
template <class Action>
auto with_code(ExitCode code, Action action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(code, error.what());
  }
}

}  // namespace ganymede
