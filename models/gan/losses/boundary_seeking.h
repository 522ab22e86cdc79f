#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The boundary-seeking loss for continuous images (Hjelm et al., arXiv 1702.08431), in nats: G seeks images that D finds as
/// likely real as generated.
/// D: -log sigma(D(x)) - log(1 - sigma(D(G(z)))),  G: (log sigma(D(G(z))) - log(1 - sigma(D(G(z)))))^2 / 2 = D(G(z))^2 / 2.
std::unique_ptr<GanLoss> make_boundary_seeking();

}  // namespace ganymede
