#pragma once

#include "datasets/image_dataset.h"
#include "launch/process.h"
#include "launch/recipe.h"
#include "launch/snapshot.h"

namespace ganymede {

/// The AgreedError(diverged) of a run that has collapsed.
class Collapsed : public AgreedError {
 public:
  Collapsed(const std::string& message, std::int64_t sound_step, bool is_mine)
      : AgreedError(ExitCode::diverged, message, is_mine), sound_step_(sound_step) {}
  /// CollapseMemory's.
  std::int64_t sound_step() const { return sound_step_; }

 private:
  std::int64_t sound_step_;
};

/// At most eight of so many classes, evenly spaced; empty for none.
std::vector<std::int64_t> watched_classes(std::int64_t classes);
/// Root mean square over the values of two images [N, C, H, W] of one label [N], on average over all such pairs; 0
/// without any.
double distance_within_classes(const at::Tensor& images, const at::Tensor& labels);

/// Looks every collapse.every steps whether a generator still draws different images:
///
///     spread = mean distance of two samples of one class / mean distance of two images of the dataset
///
/// over 32 of each, drawn with the weights of the step, of watched_classes() in turn: a generator may tell its classes
/// apart and draw one image of each. A run counts as collapsed when the spread, once above collapse.least_spread, has
/// been below it collapse.patience times in a row.
class CollapseWatch {
 public:
  /// Reads the dataset's images, which must outlive it. Collective.
  CollapseWatch(Process& process, const RunOptions& options, const ImageDataset& dataset);

  /// What looks found up to now; a run that goes on gives it back.
  const CollapseMemory& memory() const { return memory_; }
  void remember(const CollapseMemory& memory) { memory_ = memory; }
  bool is_due(std::int64_t step) const;
  /// "spread", "logit_gap" (D's mean logit of real images less that of fakes, where `figures` has both), and
  /// "top_singular/<player>/<layer>" for each weight of two dimensions or more: figures for the log. Collective.
  Figures look(Method& method, std::int64_t step, const Figures& figures);
  /// What collapse.action says of the last look: tells on standard error, or throws Collapsed. Collective.
  void judge(std::int64_t step);

 private:
  double spread_of(Method& method);
  Figures top_singular_values(Method& method);

  Process& process_;
  const RunOptions& options_;
  std::unique_ptr<Communicator> ranks_;
  const ImageDataset& dataset_;
  double real_distance_ = 0;  ///< rank 0's
  double spread_ = 0;
  CollapseMemory memory_;
};

}  // namespace ganymede
