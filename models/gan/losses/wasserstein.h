#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The Wasserstein critic's loss (Arjovsky et al., arXiv 1701.07875, equations 2 and 3), which needs
/// something that keeps D Lipschitz: the paper's clipping (gan.weight_clip), a gradient penalty or spectral
/// norm:
/// D: -D(x) + D(G(z)),  G: -D(G(z)).
std::unique_ptr<GanLoss> make_wasserstein();

}  // namespace ganymede
