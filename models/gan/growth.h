#pragma once

#include <optional>

#include "core/options.h"
#include "models/stage.h"

namespace ganymede {

/// How networks grow (Karras et al., arXiv 1710.10196, section 2 and appendix A.1): they are trained at `from` x `from`
/// for stable_kimg; then each doubling is faded in over fade_kimg, alpha rising from 0 to 1, and trained for
/// stable_kimg more. The last resolution is trained to the run's end.
struct GrowthOptions {
  std::int64_t from = 0;  ///< the first resolution; 0: the networks are full-grown all along
  double fade_kimg = 600;
  double stable_kimg = 600;
  std::string batch;  ///< "4:128, 8:64": global batches by resolution; where none is named, train.batch
  std::string lr;     ///< "128:1.5e-3": both players' learning rates; where none is named, their own

  bool wanted() const { return from > 0; }
  void describe(OptionSchema& schema);
  /// Throws Error(options) where it does not end at `resolution` or names others than it grows through.
  void check(std::int64_t resolution) const;
  /// One for each of from, 2 from, ... resolution, which check() has agreed to. `base_batch`: train.batch.
  std::vector<Stage> stages(std::int64_t resolution, std::int64_t base_batch) const;
  /// How far a stage that began at position `first` is faded in, in [0, 1].
  double alpha(const Stage& stage, std::int64_t position) const;
  /// Nothing where `lr` does not name it.
  std::optional<double> learning_rate(std::int64_t resolution) const;
};

}  // namespace ganymede
