#include "core/metrics/gaussian.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace ganymede {
namespace {

// Cholesky's pivots are at least the smallest eigenvalue. Those of a singular matrix end at rounding, whose
// root is far from nothing: such a matrix takes the other way.
constexpr double smallest_pivot = 1e-10;
// Eigenvalues below this share of the largest are taken for rounding's.
constexpr double smallest_eigenvalue = 64 * std::numeric_limits<double>::epsilon();

bool well_conditioned(const at::Tensor& factor, const at::Tensor& covariance) {
  const double pivot = factor.diagonal().min().item<double>();
  return pivot * pivot > smallest_pivot * covariance.diagonal().max().item<double>();
}

at::Tensor eigen_half(const at::Tensor& covariance, std::int64_t rank) {
  const auto [values, vectors] = at::linalg_eigh(covariance);
  const double floor = std::max(values.max().item<double>(), 0.0) * smallest_eigenvalue;
  const std::int64_t kept = std::min(rank, values.gt(floor).sum().item<std::int64_t>());
  const std::int64_t dropped = values.size(0) - kept;
  return vectors.narrow(1, dropped, kept).mul(values.narrow(0, dropped, kept).sqrt()).contiguous();
}

at::Tensor half_of(const at::Tensor& covariance, std::int64_t rank) {
  if (rank >= covariance.size(0)) {
    const auto [factor, info] = at::linalg_cholesky_ex(covariance);
    if (info.item<int>() == 0 && well_conditioned(factor, covariance)) return factor;
  }
  return eigen_half(covariance, rank);
}

}  // namespace

Gaussian Gaussian::of(const at::Tensor& mean, const at::Tensor& covariance, std::int64_t count) {
  if (mean.dim() != 1 || covariance.dim() != 2 || covariance.size(0) != mean.size(0) ||
      covariance.size(1) != mean.size(0))
    fail(ExitCode::checkpoint, "statistics: a mean of {} and a covariance of {} do not belong together",
         fmt::join(mean.sizes(), " x "), fmt::join(covariance.sizes(), " x "));
  if (!at::isfinite(mean).all().item<bool>() || !at::isfinite(covariance).all().item<bool>())
    fail(ExitCode::checkpoint, "statistics: a mean or covariance is not finite: make them anew");
  const at::Tensor sigma = covariance.to(at::kDouble);
  const std::int64_t rank = count > 0 ? std::min(count - 1, mean.size(0)) : mean.size(0);
  return {mean.to(at::kDouble), half_of(sigma, rank), sigma.trace().item<double>(), count};
}

Gaussian Gaussian::of(Moments& moments) {
  return of(moments.mean(), moments.covariance(), moments.count());
}

Gaussian Gaussian::of_features(const at::Tensor& features) {
  check_features(features);
  const std::int64_t count = features.size(0), dimension = features.size(1);
  if (count < 2) fail(ExitCode::options, "{} samples: a covariance needs at least two", count);
  if (count > dimension) {
    Moments moments(dimension);
    moments.add(features);
    return of(moments);
  }
  const at::Tensor x = features.to(at::kDouble), mean = x.mean(0);
  const at::Tensor half = x.sub(mean).div_(std::sqrt(static_cast<double>(count - 1))).t();
  return {mean, half, half.square().sum().item<double>(), count};
}

}  // namespace ganymede
