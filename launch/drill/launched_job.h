#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace ganymede {

/// A job of ranks started through a launcher's command, as a batch script starts it.
class LaunchedJob {
 public:
  using Clock = std::chrono::steady_clock;

  /// `launcher` is shell text ("mpirun -n 2"), to which `words` are added. What it prints goes to the file `output`.
  LaunchedJob(const std::string& launcher, const std::vector<std::string>& words,
              const std::filesystem::path& output);
  /// Ends what is left of it.
  ~LaunchedJob();
  LaunchedJob(const LaunchedJob&) = delete;
  LaunchedJob& operator=(const LaunchedJob&) = delete;

  /// To the launcher, as a batch script sends it.
  void signal(int number) const;
  /// Waits until `condition` holds, the launcher ends or `deadline` passes; whether it holds.
  bool wait_until(const std::function<bool()>& condition, Clock::time_point deadline);
  /// Waits for the launcher's end; false at the deadline.
  bool wait(Clock::time_point deadline);
  /// Once it has ended: as a shell tells it, 128 + n for signal n.
  int exit_code() const { return exit_code_; }
  bool has_ended() const { return ended_; }

 private:
  void look();
  pid_t launcher_ = -1;
  bool ended_ = false;
  int exit_code_ = -1;
};

/// The processes of this host whose arguments are those of a `ganymede train` with this --out.
std::vector<pid_t> ranks_here(const std::filesystem::path& run);

}  // namespace ganymede
