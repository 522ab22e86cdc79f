#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The energy-based loss (Zhao et al., arXiv 1609.03126, equations 1 to 4), of a discriminator that is an
/// autoencoder whose error is the energy E:
///
///     D: E(x) + max(0, margin - E(G(z))),  G: E(G(z)) + pull_away f_PT,
///     f_PT = 1 / (N (N - 1)) sum over i, j != i of (S_i . S_j / |S_i| |S_j|)^2
///
/// with S the codes of the N generated images of the micro-batch, wherever they lie.
std::unique_ptr<GanLoss> make_ebgan();

}  // namespace ganymede
