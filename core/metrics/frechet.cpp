#include "core/metrics/frechet.h"

#include <algorithm>

#include "core/error.h"

namespace ganymede {

FrechetDistance frechet_distance(const Gaussian& first, const Gaussian& second) {
  if (first.dimension() != second.dimension())
    fail(ExitCode::checkpoint, "features of {} and of {} dimensions: both sides need the same extractor",
         first.dimension(), second.dimension());
  const double nuclear_norm = at::linalg_svdvals(at::mm(first.half.t(), second.half)).sum().item<double>();
  FrechetDistance distance;
  distance.mean_part = (first.mean - second.mean).square().sum().item<double>();
  distance.covariance_part = first.trace + second.trace - 2 * nuclear_norm;
  distance.value = std::max(0.0, distance.mean_part + distance.covariance_part);
  distance.undersampled = first.undersampled() || second.undersampled();
  return distance;
}

}  // namespace ganymede
