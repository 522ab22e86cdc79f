#pragma once

#include "models/encoders/encoding_method.h"

namespace ganymede {

/// Bidirectional GAN (Donahue et al., arXiv 1605.09782, equation 3) and, with a stochastic encoder, adversarially
/// learned inference (Dumoulin et al., arXiv 1606.00704, algorithm 1): D tells pairs (x, E(x)) of the dataset from
/// pairs (G(z), z), z standard normal. With sigma the logistic function, in nats:
///
///     D: -log sigma(D(x, E(x))) - log(1 - sigma(D(G(z), z)))
///     E: -log(1 - sigma(D(x, E(x)))),   G: -log sigma(D(G(z), z))
///
/// E's and G's are the ones with inverted labels, which do not saturate (section 3.4 of the former). A step is one
/// phase in which all three learn. `posterior` "gaussian" draws E(x) from a normal distribution that E describes.
std::unique_ptr<MethodRecipe> make_bigan_recipe(const Settings& settings);

}  // namespace ganymede
