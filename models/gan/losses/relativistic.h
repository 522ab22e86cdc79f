#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The relativistic standard loss (Jolicoeur-Martineau, arXiv 1807.00734, RSGAN), in nats: D judges
/// whether a real image is more real than a generated one, the i-th of each a pair:
/// D: -log sigma(C(x) - C(G(z))),  G: -log sigma(C(G(z)) - C(x)), x a fresh batch of real images.
std::unique_ptr<GanLoss> make_relativistic();

}  // namespace ganymede
