#pragma once

#include "core/options.h"
#include "distributed/synchronised_moments.h"

namespace ganymede {

/// Top-k training (Sinha et al., arXiv 2002.06224): G learns from those k of a micro-batch's generated images
/// that D takes most for real. k begins at all and is multiplied by `decay` every `every` steps (the paper:
/// each epoch) until it is `share` of all.
struct TopKOptions {
  double share = 1;     ///< nu
  double decay = 0.99;  ///< gamma
  std::int64_t every = 1000;

  /// Adds "gan.top_k" and "gan.top_k_...".
  void describe(OptionSchema& schema);
  bool wanted() const { return share < 1; }
  /// k in this step (1, 2, ...), of `total` images: at least 1.
  std::int64_t k(std::int64_t step, std::int64_t total) const;
};

/// What each of this rank's images [N] counts: total / k for the k images of the micro-batch with the largest
/// logits (of equal ones the first), 0 for the others. One all-reduce of `total` numbers. Collective.
at::Tensor top_k_weights(const at::Tensor& logits, std::int64_t k, const GroupLayout& layout,
                         Communicator& communicator);

}  // namespace ganymede
