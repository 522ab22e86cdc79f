#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The non-saturating logistic loss (Goodfellow et al., arXiv 1406.2661, section 3), in nats, sigma the
/// logistic function:
/// D: -log sigma(D(x)) - log(1 - sigma(D(G(z)))),  G: -log sigma(D(G(z))).
/// D's is that of the minimax loss, with logistic.real_target in the place of its own.
std::unique_ptr<GanLoss> make_logistic();

}  // namespace ganymede
