#pragma once

#include "core/run_folder.h"
#include "datasets/image_dataset.h"
#include "launch/progress_line.h"
#include "launch/recipe.h"
#include "launch/snapshot.h"

namespace ganymede {

/// A training run: asks the method for steps, and between them reports, samples, saves, and listens for a
/// request to stop.
class Trainer {
 public:
  struct Setting {
    Process& process;
    const RunOptions& options;
    const ImageDataset& dataset;
    Method& method;
    RunFolder* folder;  ///< rank 0's; null elsewhere
    std::filesystem::path out;
  };
  explicit Trainer(const Setting& setting);

  /// Goes on from `start` to the last step, then saves. Returns done, or stopped when a stop was requested
  /// and the run saved. Collective. Throws Error(diverged) on all ranks when a figure is no longer finite.
  ExitCode run(const RunProgress& start);

 private:
  struct Agreed;
  Agreed agree(const StepReport& report);
  void report(const StepReport& totals, std::int64_t total);
  void save();
  void write_samples();
  void note(std::string_view activity);

  Setting setting_;
  Snapshots snapshots_;
  std::unique_ptr<Communicator> control_;
  RunProgress progress_;
  ProgressLine line_{stdout};
  std::int64_t saved_step_ = -1;
  std::chrono::steady_clock::time_point saved_at_;
};

}  // namespace ganymede
