#pragma once

#include <chrono>
#include <memory>

#include "core/background_work.h"
#include "core/host_copy.h"
#include "launch/snapshot.h"

namespace ganymede {

struct SaverOptions {
  std::int64_t keep = 3;        ///< CheckpointStore's
  std::int64_t keep_every = 0;  ///< CheckpointStore's
  double retry_seconds = 60;    ///< from a save that failed to when the next should be begun
  std::int64_t failures = 3;    ///< in succession that end the run
};

/// What the last save took.
struct SaveCost {
  std::int64_t step = -1;    ///< none yet
  std::int64_t bytes = 0;    ///< of all shards
  double copy_seconds = 0;   ///< in which training waited for this rank's copy
  double write_seconds = 0;  ///< beside training, of the slowest rank: bringing into order, hashing, writing, syncing
};

/// Saves checkpoints of a method, all ranks together, while training goes on. A save goes:
///
///     begin()      every rank copies its shard into host memory, and its thread writes and syncs that
///     advance()    once no rank's thread is at work any more: ranks exchange sizes and digests, and rank 0's thread
///                  writes the manifest, renames the folder to its place, and removes checkpoints that need not stay
///     advance()    once that is done too: all ranks know that there is a new checkpoint, or what went wrong
///
/// Threads issue no collectives: at each step ranks sum is_busy(), with figures that they sum anyhow.
///
/// What it costs a rank, of S bytes of state on R ranks: one copy of S / R bytes at the step (training waits for
/// that alone, at the speed of memory), as much host memory from the first save on, and beside training the time of
/// hashing and writing S / R bytes on one thread. A tensor of another memory order than rows (channels_last weights) is
/// brought into it there, one at a time. Nothing else is sent than each shard's size and digest. Where players are
/// sharded, their moments and averages are gathered before, an arena at a time (launch/snapshot.h).
///
/// A save fails where any rank fails to write (a full disk, a quota, a broken disk): its files are removed, rank 0
/// says so in one line with the rank and the remedy, and retry_is_due() after a while; the checkpoints before stay
/// as they are. After so many failures in succession advance() throws AgreedError(storage).
///
/// begin_from(), begin(), advance(), finish() and keep_best() are collective.
class CheckpointSaver {
 public:
  /// `folder`: the run's checkpoints/.
  CheckpointSaver(Process& process, std::filesystem::path folder, const SaverOptions& options);
  /// A save under way is given up, what it has written left to the next one to remove.
  ~CheckpointSaver();

  /// A course begins at this step's checkpoint, or at none (-1), and `best` is to stay. Removes what unfinished saves
  /// left behind.
  void begin_from(std::int64_t step, std::optional<std::int64_t> best);
  /// Begins to save what the method holds now; it may change as soon as this returns. Waits for the save before.
  /// `header` is kept beside the progress.
  void begin(Method& method, const RunProgress& progress, nlohmann::json header);
  /// Whether this rank has work under way that advance() must not come before.
  bool is_busy() const { return work_ && !work_->is_done(); }
  /// Whether a save is under way; the same on all ranks.
  bool is_saving() const { return phase_ != Phase::idle; }
  /// Brings the save under way on. Only where no rank is_busy(). Throws AgreedError.
  void advance();
  /// Waits until no save is under way; the watchdog ends a wait in which nothing is written.
  void finish();

  /// The newest checkpoint of this course that is there, -1 for none; at first the one that it began with.
  std::int64_t saved_step() const { return saved_step_; }
  /// Of the newest save whose shards are written.
  const SaveCost& cost() const { return cost_; }
  /// Whether this step is saved, or being saved.
  bool has(std::int64_t step) const { return saved_step_ == step || (is_saving() && step_ == step); }
  /// Whether the last save failed; the same on all ranks.
  bool must_retry() const { return failures_ > 0; }
  /// Whether it did, and it is time to try again, by this rank's clock.
  bool retry_is_due() const;
  /// Waits until then.
  void wait_for_retry();

  /// Keeps this step's checkpoint beyond the newest ones, in the place of the best before (a warning where that one
  /// cannot be removed): from now on if it is saved, else from when it is.
  void keep_best(std::int64_t step);
  /// And the newest at or before this one: what a run that collapses goes back to.
  void fall_back_to(std::optional<std::int64_t> step) { store_.fall_back_to(step); }

 private:
  enum class Phase { idle, writing, publishing };
  using Clock = std::chrono::steady_clock;

  void wait_for_work();
  void end_writing();
  void end_publishing();
  /// `rank` is the lowest whose work failed of `cause`.
  void fail_save(int rank, ExitCode code, const std::string& host, const std::string& cause);
  void protect(std::optional<std::int64_t> step);

  Process& process_;
  SaverOptions options_;
  CheckpointStore store_;
  std::string nonce_;
  HostCopy copy_;
  Phase phase_ = Phase::idle;
  std::int64_t step_ = -1;  ///< of the save under way
  nlohmann::json header_;
  std::vector<TensorRecord> layout_;
  std::unique_ptr<BackgroundWork> work_;
  SaveCost cost_;
  double copy_seconds_ = 0;  ///< of the save under way
  std::int64_t saved_step_ = -1;
  std::int64_t failures_ = 0;  ///< in succession
  Clock::time_point retry_at_;
  std::optional<std::int64_t> best_, best_before_;
};

}  // namespace ganymede
