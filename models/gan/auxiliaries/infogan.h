#pragma once

#include "models/gan/auxiliary.h"

namespace ganymede {

/// InfoGAN (Chen et al., arXiv 1606.03657, equations 4 to 6): part of z are codes c (LatentCodes), and D's head is
/// Q(c | x). Both players add to their cost, on generated images, -log Q(c | G(z, c)) in nats, which is a constant
/// minus a lower bound on the mutual information of codes and images:
///
///     categorical_weight  sum over categorical codes of -log softmax(outputs)_c
///     continuous_weight   sum over continuous codes of (c - mu)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2
///
/// with the outputs mu and, where infogan.deviation = learned, log sigma; else sigma is 1. Reports "code_hits", the
/// share of categorical codes that Q finds, and "code_error", the mean square of c - mu.
std::unique_ptr<GanAuxiliary> make_infogan();

}  // namespace ganymede
