#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Each position's vector of channels at unit mean square (Karras et al., arXiv 1710.10196, section 4.2):
///
///     y[:, c] = x[:, c] / sqrt(mean over c of x[:, c]^2 + eps)
///
/// x [N, C, ...], of any type; figures are float32 or better. Differentiable to any order.
at::Tensor pixel_norm(const at::Tensor& x, double eps = 1e-8);

/// The same of leaky_relu(x, slope): of images on the CPU one pass over them forward and one back. Computes in x's
/// type, figures as above. Differentiable to any order.
at::Tensor activated_pixel_norm(const at::Tensor& x, double slope, double eps = 1e-8);

}  // namespace ganymede
