#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// Passes over the positions of images x [N, C, H, W], float32, float64, bfloat16 or float16, in channels_last order
/// (checked); sums are float64 for float64 and float32 otherwise. With z = x where x > 0 and x slope elsewhere,
///
///     y[c] = z[c] r,   r = 1 / sqrt(mean over c of z[c]^2 + eps)   at each position.
///
/// Neither is an autograd operation.
at::Tensor position_norm(const at::Tensor& x, double slope, double eps);

/// The gradient of x, given g of y: reads both once, writes once.
at::Tensor position_norm_gradient(const at::Tensor& g, const at::Tensor& x, double slope, double eps);

}  // namespace ganymede::cpu
