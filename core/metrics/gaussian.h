#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/metrics/moments.h"

namespace ganymede {

/// A normal distribution fitted to features, in the form that the Frechet distance wants: mean mu and a half
/// factor H with H H' = Sigma. To keep one, keep its four members: the reference's is made once for all
/// scores.
struct Gaussian {
  at::Tensor mean;         ///< [D] float64
  at::Tensor half;         ///< [D, r] float64, r <= D
  double trace = 0;        ///< of Sigma
  std::int64_t count = 0;  ///< samples it was fitted to; 0 where nobody knows, as from a foreign file

  std::int64_t dimension() const { return mean.size(0); }
  /// Whether Sigma is singular for want of samples: such a score is an honest number, and one to warn about.
  bool undersampled() const { return count > 0 && count <= dimension(); }

  /// From what an .npz file holds: mean [D] and covariance [D, D]. H is the Cholesky factor, and where Sigma
  /// is singular or nearly so, eigenvectors times the roots of the eigenvalues that are above rounding. With
  /// `count` known, the rank is also cut to count - 1. Throws Error(`checkpoint`) on other shapes and on NaN.
  static Gaussian of(const at::Tensor& mean, const at::Tensor& covariance, std::int64_t count = 0);
  static Gaussian of(Moments& moments);
  /// From the features [N, D] themselves. With N <= D no covariance is formed: H = (x - mu)' / sqrt(N - 1),
  /// which is exact and small (scores per class). Throws as check_features, and Error(`options`) if N < 2.
  static Gaussian of_features(const at::Tensor& features);
};

}  // namespace ganymede
