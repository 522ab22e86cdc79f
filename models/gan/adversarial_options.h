#pragma once

#include "models/gan/gradient_penalty.h"
#include "models/player.h"

namespace ganymede {

struct AdversarialOptions {
  std::string loss = "hinge";
  std::int64_t d_steps = 1;
  GradientPenaltyOptions penalty;
  double orthogonal = 0;  ///< beta of G's regulariser, see add_orthogonal_gradient()
  std::int64_t batch_norm_group = 0;
  std::int64_t standing_passes = 16;
  OptimizerOptions generator, discriminator;

  void describe(OptionSchema& schema);
};

}  // namespace ganymede
