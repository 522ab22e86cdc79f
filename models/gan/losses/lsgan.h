#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// Least squares (Mao et al., arXiv 1611.04076, equation 2):
/// D: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2,  G: (D(G(z)) - c)^2 / 2.
/// lsgan.a, lsgan.b, lsgan.c: 0, 1, 1 of the paper's equation 9, or -1, 1, 0 of its equation 8, which
/// minimises Pearson's chi-square between the data's and G's mean density and twice G's.
std::unique_ptr<GanLoss> make_lsgan();

}  // namespace ganymede
