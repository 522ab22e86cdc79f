#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// BEGAN (Berthelot et al., arXiv 1703.10717, section 3.4), of a discriminator that is an autoencoder with
/// error L:
///
///     D: L(x) - k_t L(G(z)),  G: L(G(z)),
///     k_{t+1} = k_t + lambda_k (gamma E L(x) - E L(G(z))) within [0, 1], k_0 = 0.
///
/// The means E are those of D's update, over the global batch; k_t is part of checkpoints.
std::unique_ptr<GanLoss> make_began();

}  // namespace ganymede
