#pragma once

#include "models/encoders/encoding_method.h"

namespace ganymede {

/// Adversarial autoencoder (Makhzani et al., arXiv 1511.05644, section 2): an autoencoder whose latents a discriminator
/// of latents tells from the prior's, z standard normal. A step has two phases on the same global batch; sigma is the
/// logistic function, losses are in nats but for the first:
///
///     reconstruction   E, G: |x - G(E(x))|^2 / (C H W)
///     regularisation   D: -log sigma(D(z)) - log(1 - sigma(D(E(x)))),   E: -log sigma(D(E(x)))
///
/// In the second, D and E both learn at the weights that it began with. `posterior` "gaussian" draws E(x) from a normal
/// distribution that E describes. A generator that is told the class leaves the rest of an image to the latent (section
/// 4, supervised adversarial autoencoders). E's two updates share one optimiser.
std::unique_ptr<MethodRecipe> make_adversarial_autoencoder_recipe(const Settings& settings);

}  // namespace ganymede
