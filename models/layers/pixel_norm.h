#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Each position's vector of channels at unit mean square (Karras et al., arXiv 1710.10196, section 4.2):
///
///     y[:, c] = x[:, c] / sqrt(mean over c of x[:, c]^2 + eps)
///
/// x [N, C, ...], of any type; figures are float32 or better. Differentiable to any order.
at::Tensor pixel_norm(const at::Tensor& x, double eps = 1e-8);

}  // namespace ganymede
