#pragma once

#include <c10/core/Event.h>

#include <deque>

#include "core/run_chain.h"
#include "core/run_log.h"
#include "datasets/image_dataset.h"
#include "launch/batch_feed.h"
#include "launch/checkpoint_saver.h"
#include "launch/collapse_watch.h"
#include "launch/progress_line.h"
#include "launch/recipe.h"
#include "launch/step_digests.h"
#include "launch/training_scores.h"

namespace ganymede {

/// The AgreedError(diverged) of a run whose ranks no longer hold the same weights: going back would not mend the
/// machine.
class ReplicasDiffer : public AgreedError {
  using AgreedError::AgreedError;
};

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
    std::vector<Communicator*> groups;  ///< the method's: looked after while the host waits for a GPU
    std::map<std::int64_t, std::string> levels = {};  ///< layouts of smaller copies, by Stage::shrink
  };
  explicit Trainer(const Setting& setting);

  /// Goes on from `start` to the last step, then saves. Returns done, or stopped when a stop was requested
  /// and the run saved. Collective. Throws AgreedError(diverged) when a figure is no longer finite though no
  /// update was skipped, or skipping is hopeless, Collapsed as
  /// collapse.action says.
  ExitCode run(const RunProgress& start);
  /// The newest checkpoint of this course: where it began, or saved since; -1 for none.
  std::int64_t saved_step() const { return saver_.saved_step(); }

 private:
  struct Agreed {
    bool stop = false, save = false;
    bool idle = false;  ///< no rank is busy with the save under way
  };
  /// A step's figures on their way to the host.
  struct Pending {
    std::int64_t step;
    std::vector<std::string> names;
    at::Tensor values;  ///< this rank's parts; each player's gradient norm and count of skipped updates; StepDigests'
    std::vector<std::string> tensors;  ///< of which there are digests; none where the chain gets no line
    std::optional<c10::Event> arrived;
  };

  /// What comes after a step whatever the ranks agree on, and needs its figures.
  bool is_due(std::int64_t total) const;
  void send(const StepReport& report);
  void wait_for(const Pending& pending);
  /// Sums what all ranks know into figures_: on the host of every step up to now; on a GPU of those before
  /// the last one, so that the host goes on while the GPU works, or of all if `now`. Collective.
  Agreed agree(bool now);
  void take(const Pending& pending, const double* totals);
  /// Takes note of how many updates each player has `skipped` by then, warning of those that do not belong to float16.
  /// Whether there are more than at the step before.
  bool tell_skipped(std::int64_t step, std::vector<double> skipped);
  /// The chain goes on, or begins with what training begins with. Collective.
  void open_chain();
  bool has_link(std::int64_t step) const { return chain_period_ > 0 && step % chain_period_ == 0; }
  /// What the chain tells of: weights and buffers.
  NamedTensors chained_tensors() const;
  void add_link(std::int64_t step, const Figures& figures, std::span<const double> digests,
                std::vector<std::string> tensors);
  void report(std::int64_t total);
  /// Says once that the log waits for space.
  void tell_trouble();
  nlohmann::json log_entry(double images_per_second);
  ExitCode train(const RunProgress& start);
  /// Weights and averages of all ranks, bit by bit. Throws ReplicasDiffer. Collective.
  void compare_ranks();
  /// Begins to save this step, unless that has been done.
  void save();
  /// Saves this step, if need be again and again, and waits until it is saved or may fail no more.
  void save_now();
  void write_pictures();
  void open_log();
  /// False where it was stopped on request.
  bool score();
  void note(std::string_view activity);
  /// Batches as the present stage wants them, from where the run stands. Collective.
  void open_feed();
  /// What the watch has seen goes into checkpoints, and says which of them must stay.
  void keep_way_back();
  /// After a step: the images that it has seen, and what comes with them.
  void move_on();
  const Stage& stage() const { return stages_[stage_at(stages_, progress_.position)]; }
  std::int64_t images_per_step() const { return stage().batch * setting_.method.batches_per_step(); }

  /// Where batches come from.
  struct Feed {
    Feed(const ImageDataset& dataset, const LoaderOptions& options, at::Device device)
        : loader(dataset, options), batches(loader, device, options.dtype) {}
    Loader loader;
    BatchFeed batches;
  };

  Setting setting_;
  std::vector<Stage> stages_;
  CheckpointSaver saver_;
  std::unique_ptr<Communicator> control_;
  RunProgress progress_;
  std::optional<ImageDataset> level_;  ///< what the feed reads, where that is not the dataset itself
  std::unique_ptr<Feed> feed_;
  std::deque<Pending> pending_;
  Figures figures_;  ///< of the newest step that has been agreed on
  std::vector<double> skipped_;  ///< updates by then, of each player
  ProgressLine line_{stdout};
  std::optional<RunLog> log_;  ///< rank 0's
  std::int64_t chain_period_ = 0;
  StepDigests digests_;
  std::optional<ChainWriter> chain_;  ///< rank 0's
  bool in_trouble_ = false;    ///< and it is known
  std::optional<TrainingScores> scores_;
  std::optional<CollapseWatch> collapse_;
  std::int64_t compared_step_ = -1;
  std::int64_t told_save_ = -1;  ///< the step of the save whose cost the log has
  std::chrono::steady_clock::time_point saved_at_;
};

}  // namespace ganymede
