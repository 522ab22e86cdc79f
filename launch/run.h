#pragma once

#include <variant>

#include "core/run_folder.h"
#include "launch/collapse_watch.h"
#include "launch/snapshot.h"

namespace ganymede {

/// What a user asks of a run.
struct RunRequest {
  RunOptions& options;
  std::filesystem::path out;
  std::vector<std::filesystem::path> data;
  std::string resume = "auto";            ///< find_start()'s choice
  std::vector<std::string> allowed = {};  ///< check_same_run()'s
  std::string init_from = {};             ///< init_from()'s path; none: begin with new weights
};

/// A run in its folder, from any of its checkpoints on.
class Run {
 public:
  /// Takes the folder, opens dataset and device, finds what to go on from. Collective; throws AgreedError.
  Run(Process& process, const RunRequest& request);
  /// To the run's end. Where it diverges it goes back to the newest sound checkpoint, if there is one, and draws other
  /// random numbers from there on, up to train.rollbacks times. Collective.
  ExitCode go();

 private:
  ExitCode go_to_the_end();
  /// Why a course ended that may be tried again, and the step of a checkpoint that it can go back to at most.
  struct Setback {
    AgreedError error;
    std::int64_t last_step;
    bool collapsed;
  };
  /// To the run's end, or a setback.
  std::variant<ExitCode, Setback> go_on();
  void tell_start(const RunProgress& start, const Method& method);
  /// Whether it can be tried again, from `checkpoint_`.
  bool roll_back(const Setback& setback);
  /// The newest sound checkpoint of this run up to there, else that which the last course began with. Collective.
  std::optional<SoundCheckpoint> way_back(std::int64_t last_step);
  /// They hold what has collapsed: another start must not go on with it. Collective.
  void forget_later_checkpoints();

  Process& process_;
  RunRequest request_;
  RunOptions& options_;
  std::unique_ptr<RunFolder> folder_;  // rank 0's
  std::optional<ImageDataset> dataset_;
  std::map<std::int64_t, std::string> levels_;
  std::optional<SoundCheckpoint> checkpoint_;
  std::uint64_t reseed_ = 0;
  std::int64_t rollbacks_ = 0;
};

}  // namespace ganymede
