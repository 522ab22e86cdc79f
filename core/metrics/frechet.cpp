#include "core/metrics/frechet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr double tolerance = 2e-11;

/// Roots of the eigenvalues of V' V, which cost a third of V's singular values: LAPACK reduces symmetric
/// matrices at the speed of products. An eigenvalue is off by some eps times the largest, so its root s by
/// eps s_1^2 / 2 s: where that may add up to more than the tolerance, there is no answer.
std::optional<double> norm_by_eigenvalues(const at::Tensor& v) {
  const at::Tensor gram = v.size(0) < v.size(1) ? at::mm(v, v.t()) : at::mm(v.t(), v);
  const at::Tensor roots = at::linalg_eigvalsh(gram).clamp_min_(0).sqrt_();
  const double sum = roots.sum().item<double>(), largest = roots.max().item<double>();
  const double error = std::numeric_limits<double>::epsilon() * largest * largest *
                       roots.reciprocal().sum().item<double>() / 2;
  return error <= tolerance * sum ? std::optional(sum) : std::nullopt;
}

double sum_of_singular_values(const at::Tensor& v) {
  if (v.numel() == 0) return 0;
  if (const std::optional<double> norm = norm_by_eigenvalues(v)) return *norm;
  return at::linalg_svdvals(v).sum().item<double>();
}

}  // namespace

FrechetDistance frechet_distance(const Gaussian& first, const Gaussian& second) {
  if (first.dimension() != second.dimension())
    fail(ExitCode::checkpoint, "features of {} and of {} dimensions: both sides need the same extractor",
         first.dimension(), second.dimension());
  FrechetDistance distance;
  distance.mean_part = (first.mean - second.mean).square().sum().item<double>();
  distance.covariance_part =
      first.trace + second.trace - 2 * sum_of_singular_values(at::mm(first.half.t(), second.half));
  distance.value = std::max(0.0, distance.mean_part + distance.covariance_part);
  distance.undersampled = first.undersampled() || second.undersampled();
  return distance;
}

}  // namespace ganymede
