#pragma once

#include "models/encoders/encoding_method.h"

namespace ganymede {

/// VAE/GAN (Larsen et al., arXiv 1512.09300, algorithm 1): an autoencoder whose error is measured in the features of a
/// discriminator, that of `gan.network`. E gives a normal distribution q(z|x); f: the input of D's last layer (the
/// paper's Dis_l); x~ = G(z), z drawn from q; x_p = G(z_p), z_p standard normal; sigma the logistic function, in nats:
///
///     prior = KL(q(z|x) || N(0, I))    (section 2.1)
///     like  = |f(x) - f(x~)|^2 / 2    (section 2.3, but for a constant)
///     D: -log sigma(D(x)) - log(1 - sigma(D(x~))) - log(1 - sigma(D(x_p)))
///     E: prior + like,   G: gamma like - log sigma(D(x~)) - log sigma(D(x_p))
///
/// G's adversarial part is the one that does not saturate (Goodfellow et al., arXiv 1406.2661, section 3). A step is
/// one phase in which all three learn. Networks that are told the class are told that of x, and a drawn one for x_p.
std::unique_ptr<MethodRecipe> make_vae_gan_recipe(const Settings& settings);

}  // namespace ganymede
