#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// GELU by tanh (Hendrycks and Gimpel, arXiv 1606.08415, section 2) in one pass, of dense x of any shape and floating
/// type:
///
///     y = x/2 (1 + tanh(u)),   u = sqrt(2 / pi) (x + 0.044715 x^3)
///
/// computed in float32 (float64 for float64). Neither is an autograd operation.
at::Tensor gelu_tanh(const at::Tensor& x);

/// The gradient of x, given g of y, like x.
at::Tensor gelu_tanh_gradient(const at::Tensor& g, const at::Tensor& x);

}  // namespace ganymede::cpu
