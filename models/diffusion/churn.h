#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "models/diffusion/process.h"
#include "models/diffusion/solver.h"

namespace ganymede {

/// Noise that is added on the way to the image (Karras et al., arXiv 2206.00364, algorithm 2, where these are S_churn,
/// S_tmin, S_tmax and S_noise).
struct ChurnOptions {
  double amount = 0;
  double least = 0, most = 1e9;  ///< of sigma / alpha
  double noise = 1;              ///< deviation of what is added, over what would keep to the process

  void describe(OptionSchema& schema);
};

/// Where a step of so many begins if not at `point`: its noise sigma / alpha is 1 + min(amount / steps, sqrt(2) - 1)
/// times as large, if it lies within [least, most]. Nothing where the step begins at `point`.
std::optional<PathPoint> churned(const ChurnOptions& options, const DiffusionProcess& process,
                                 const PathPoint& point, std::int64_t steps);

/// x, which is at `point`, at the noisier point; `noise` is standard normal, like x.
at::Tensor churn(const ChurnOptions& options, const at::Tensor& x, const PathPoint& point,
                 const PathPoint& noisier, const at::Tensor& noise);

}  // namespace ganymede
