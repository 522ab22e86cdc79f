#pragma once

#include "models/gan/gradient_penalty.h"
#include "models/gan/loss.h"
#include "models/gan/regularisers/ada.h"
#include "models/gan/regularisers/consistency.h"
#include "models/gan/regularisers/diff_augment.h"
#include "models/gan/regularisers/lecam.h"
#include "models/gan/regularisers/path_length.h"
#include "models/gan/regularisers/top_k.h"
#include "models/gan/text_matching.h"
#include "models/player.h"

namespace ganymede {

/// All but the networks' and the loss's own options.
struct AdversarialOptions {
  std::string loss = "hinge";
  std::int64_t d_steps = 1;
  GradientPenaltyOptions penalty;
  double drift = 0;        ///< D's loss has drift D(x)^2 (Karras et al., arXiv 1710.10196, appendix A.1)
  double weight_clip = 0;  ///< D's weights stay in +-weight_clip (Arjovsky et al., arXiv 1701.07875); 0: free
  LeCamOptions lecam;
  ConsistencyOptions consistency;
  DiffAugmentOptions augment;
  AdaOptions ada;
  PathLengthOptions path_length;
  TopKOptions top_k;
  TextMatchingOptions text;
  double feature_matching = 0;  ///< weight of G's loss of regularisers/feature_matching.h; 0: the loss's own
  double historical_average = 0;  ///< of both players, see HistoricalAverage
  double orthogonal = 0;          ///< beta of G's regulariser, see add_orthogonal_gradient()
  std::int64_t batch_norm_group = 0;
  std::int64_t standing_passes = 16;
  OptimizerOptions generator, discriminator;

  void describe(OptionSchema& schema);
  /// What the players are built with: corrected where they have a regulariser's updates beside their own.
  OptimizerOptions generator_optimizer() const;
  OptimizerOptions discriminator_optimizer() const;
  /// Updates of a player in so many steps, a regulariser's own among them.
  std::int64_t generator_updates(std::int64_t steps) const;
  std::int64_t discriminator_updates(std::int64_t steps) const;
  /// Throws Error(options) where options do not fit together, or not with the loss or the networks.
  void check(const GanLossNeeds& needs, const GanNetworks& networks, std::int64_t micro_batch) const;

 private:
  void check_regularisers(const GanLossNeeds& needs, const GanNetworks& networks,
                          std::int64_t micro_batch) const;
};

}  // namespace ganymede
