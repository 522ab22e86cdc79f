#pragma once

#include "distributed/synchronised_moments.h"

namespace ganymede {

/// Feature matching (Salimans et al., arXiv 1606.03498, section 3.1), in the place of G's loss: |E f(x) - E
/// f(G(z))|^2 with D's features f and means over the micro-batch, each image's the same number [N].
/// real_features, fake_features: this rank's [N, F]. One all-reduce of 2 F numbers, and one in every
/// backward. Collective.
at::Tensor feature_matching(const at::Tensor& real_features, const at::Tensor& fake_features,
                            const GroupLayout& layout, Communicator& communicator);

}  // namespace ganymede
