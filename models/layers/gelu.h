#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// at::gelu(x, "tanh"), of any shape and floating type: x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). On CPUs one
/// pass over memory there and one back, whose exponential is a polynomial for vector units. Differentiable to any order.
at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace ganymede
