#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// The largest singular value of `weight` [out, ...] as a matrix of `out` rows, by `iterations` rounds of the power
/// method from a fixed start: never more than it, and close where the next one is smaller. A float64 scalar.
at::Tensor top_singular_value(const at::Tensor& weight, int iterations = 15);

}  // namespace ganymede
