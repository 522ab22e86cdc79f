#pragma once

#include <torch/types.h>

#include <cmath>

#include "core/philox.h"

namespace ganymede {

/// [count, dimension] float64 normal features around `mean`, whose deviations fall from 1 to 1/100 along the
/// dimensions.
inline at::Tensor random_features(std::uint64_t seed, std::int64_t count, std::int64_t dimension,
                                  double mean = 0) {
  const at::Tensor scale = at::logspace(0, -2, dimension, 10, at::kDouble);
  return RandomStream({.seed = seed}).normal(0, count, dimension, at::kDouble).mul_(scale).add_(mean);
}

}  // namespace ganymede
