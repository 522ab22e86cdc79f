#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// One-sided label smoothing (Salimans et al., arXiv 1606.03498, section 3.4): the probability that D is
/// taught for real images; that for fakes stays 0.
struct RealTarget {
  double value = 1;

  /// Adds "<section>.real_target".
  void describe(OptionSchema& schema, const std::string& section);
};

/// D's cross-entropy [N] in nats, t the target and sigma the logistic function:
/// -t log sigma(D(x)) - (1 - t) log(1 - sigma(D(x))) - log(1 - sigma(D(G(z)))).
at::Tensor cross_entropy(const GanLogits& logits, const RealTarget& target);

}  // namespace ganymede
