#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include "core/philox.h"
#include "models/diffusion/solver.h"

/// A mixture of two normal distributions in the plane, as images of two channels and one pixel, whose exact denoiser is
/// known.
namespace ganymede::test::mixture {

inline constexpr double weights[] = {0.3, 0.7};
inline constexpr double means[2][2] = {{-0.6, 0.2}, {0.5, -0.4}};
inline constexpr double deviation = 0.1;

inline at::Tensor mean_of(int mode) {
  return at::tensor({means[mode][0], means[mode][1]}, at::kDouble).view({1, 2, 1, 1});
}

/// Points first .. first + count - 1, [count, 2, 1, 1] float64.
inline at::Tensor points(std::int64_t first, std::int64_t count) {
  const at::Tensor second = RandomStream({.seed = 21, .stream = "mode"})
                                .uniform(first, count, 1, at::kDouble)
                                .view({-1, 1, 1, 1}) >= weights[0];
  const at::Tensor noise =
      RandomStream({.seed = 21, .stream = "noise"}).normal(first, count, 2, at::kDouble).view({-1, 2, 1, 1});
  return at::where(second, mean_of(1), mean_of(0)) + deviation * noise;
}

/// E[x_0 | x], x [N, 2, 1, 1]: of each mode's posterior mean, weighted by how likely the mode is.
inline at::Tensor denoised(const at::Tensor& x, double alpha, double sigma) {
  const double variance = deviation * deviation;
  const double total = alpha * alpha * variance + sigma * sigma;
  const at::Tensor first = x - alpha * mean_of(0), second = x - alpha * mean_of(1);
  const at::Tensor logit =
      (first.square() - second.square()).sum(1, true) / (2 * total) + std::log(weights[1] / weights[0]);
  const double pull = alpha * variance / total;
  return (mean_of(0) + pull * first).lerp(mean_of(1) + pull * second, logit.sigmoid());
}

}  // namespace ganymede::test::mixture
