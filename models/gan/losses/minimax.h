#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The minimax loss (Goodfellow et al., arXiv 1406.2661, equation 1), in nats: G's part saturates where D is
/// sure.
/// D: -log sigma(D(x)) - log(1 - sigma(D(G(z)))),  G: log(1 - sigma(D(G(z)))).
/// With minimax.real_target = t < 1 (one-sided label smoothing, Salimans et al., arXiv 1606.03498, section
/// 3.4) D's first part is -t log sigma(D(x)) - (1 - t) log(1 - sigma(D(x))).
std::unique_ptr<GanLoss> make_minimax();

}  // namespace ganymede
