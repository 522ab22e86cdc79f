#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// y = clamp(gain * leaky_relu(x + bias, slope), -bound, bound), without a bound where it is 0; positive gain and slopes
/// of 0 to 1. x on the CPU, float32, float64, bfloat16 or float16, dense in any order; a defined bias is [C], of x's
/// type, and x then [N, C] in row-major or [N, C, H, W] in channels_last order (all checked). One pass. Not an autograd
/// operation.
struct ActivationFigures {
  double slope, gain, bound;
};
at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures);

/// g times the derivative where the result is y: g and y of one shape, type and order. One pass.
at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures);

}  // namespace ganymede::cpu
