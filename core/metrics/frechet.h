#pragma once

#include "core/metrics/gaussian.h"

namespace ganymede {

/// A Frechet distance and the two parts it is the sum of.
struct FrechetDistance {
  double value = 0;            ///< never negative
  double mean_part = 0;        ///< |mu_1 - mu_2|^2
  double covariance_part = 0;  ///< the rest, as computed: rounding may take it a little below zero
  bool undersampled = false;   ///< either side has no more samples than dimensions: warn
};

/// The Frechet (2-Wasserstein) distance, squared, between two normal distributions (Dowson and Landau, "The
/// Frechet distance between multivariate normal distributions", 1982; of Inception features: FID, Heusel et
/// al., "GANs trained by a two time-scale update rule...", 2017, equation 6):
///
///     d^2 = |mu_1 - mu_2|^2 + tr Sigma_1 + tr Sigma_2 - 2 tr (Sigma_1 Sigma_2)^(1/2)
///
/// The last trace is the nuclear norm of H_1' H_2, the sum of its singular values, for any halves
/// H H' = Sigma: with V = H_1' H_2, Sigma_1 Sigma_2 = H_1 V H_2' has the non-zero eigenvalues of V V'. Unlike
/// the square root of a product, this keeps identical sets at 0 to rounding even where Sigma is singular, is
/// never complex, and needs no epsilon on the diagonal.
///
/// Spatial FID and FD-DINOv2 are this of other features; intra-FID this for each class.
/// Throws Error(`checkpoint`) if the dimensions differ.
FrechetDistance frechet_distance(const Gaussian& first, const Gaussian& second);

}  // namespace ganymede
