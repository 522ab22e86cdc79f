#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>

#include "launch/doctor/verdict.h"
#include "launch/drill/strike.h"

namespace ganymede {

/// What a user asks of `ganymede drill`.
struct DrillRequest {
  std::filesystem::path out;  ///< absolute
  std::string launcher;       ///< shell text, to which the program and its arguments are added
  std::string device = "cpu";
  std::int64_t steps = 60;
  double watchdog_seconds = 5;
  double limit = 300;  ///< seconds that one job may take
};

/// What may happen to a run, and how a run that survives it ends.
struct Fault {
  const char* name;
  const char* help;
  std::optional<Strike> strike;  ///< none: SIGUSR1 to the launcher
  int exit_code;                 ///< the launcher's
  const char* remedy;            ///< where the exit code is another
};

std::span<const Fault> faults();

/// What became of a run that a fault came over.
struct Outcome {
  bool struck = false;             ///< the fault came before the run's end
  bool ended = false;              ///< the launcher has ended in time
  int exit_code = -1;              ///< the launcher's
  double seconds = 0;              ///< from the fault until it and all ranks of this host were gone
  std::vector<int> left;           ///< ranks of this host that outlived it, by process
  int resumed_code = -1;           ///< of the same command again
  std::int64_t resumed_from = -1;  ///< the step, -1 where it does not say
  bool equal = false;              ///< its end is bit for bit that of a run to which nothing happened
};

/// One line of the table. `log` is where what the job has printed can be read.
Verdict judge(const Fault& fault, const Outcome& outcome, const std::filesystem::path& log);

/// Small trainings in one folder.
class Rehearsal {
 public:
  /// Makes a dataset in the folder. Throws Error.
  explicit Rehearsal(DrillRequest request);

  /// A run to which nothing happens: what the others are compared with. Fails where it does not end with 0.
  Verdict undisturbed();
  /// A run that the fault comes over, resumed to its end.
  Verdict run(const Fault& fault);

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point deadline() const;
  std::filesystem::path folder(const std::string& name) const { return request_.out / name; }
  std::filesystem::path log(const std::string& name) const { return request_.out / (name + ".txt"); }
  /// The program and its arguments for a run of this name.
  std::vector<std::string> training(const std::string& name) const;
  std::vector<std::string> training_to_be_struck(const std::string& name, Strike strike) const;
  void strike(const Fault& fault, Outcome& outcome);
  void resume(const Fault& fault, Outcome& outcome);
  bool ends_equal(const std::string& name) const;

  DrillRequest request_;
  std::string program_;
};

}  // namespace ganymede
