#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a bias-activation is (models/layers/bias_activation.h), on the CPU or a CUDA device; float32, float64, bfloat16
/// or float16. Neither is an autograd operation. On a GPU they run on the current stream.
///
/// Bytes moved, in units of x: activation reads 1 and writes 1; activation_gradient reads 2 and writes 1.

struct ActivationFigures {
  double slope, gain, bound;  ///< a positive gain, slopes of 0 to 1; no bound where it is 0
};

/// y = clamp(gain * leaky_relu(x + bias, slope), -bound, bound), in x's layout. x [N, C, ...]: contiguous, or
/// channels_last (checked); bias [C] of x's type, or undefined.
at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures);

/// g times the derivative where the result is y: g and y of one shape, type and order, dense in it (checked).
at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures);

}  // namespace ganymede
