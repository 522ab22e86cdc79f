#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The Wasserstein critic's loss (Arjovsky et al., arXiv 1701.07875, equations 2 and 3), which needs a
/// gradient penalty or a spectral norm to keep D Lipschitz: D: -D(x) + D(G(z)),  G: -D(G(z)).
namespace wasserstein_parts {
at::Tensor real(const at::Tensor& logits);
at::Tensor fake(const at::Tensor& logits);
at::Tensor generator(const at::Tensor& logits);
}  // namespace wasserstein_parts

inline constexpr GanLoss wasserstein{"wasserstein", wasserstein_parts::real, wasserstein_parts::fake,
                                     wasserstein_parts::generator};

}  // namespace ganymede
