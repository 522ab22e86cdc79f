#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// The leaky ReLU that StyleGAN2 has behind each layer, with its bias, gain and bound in one operation:
///
///     y = clamp(gain * leaky_relu(x + bias, slope), -bound, bound)
///
/// with no bound where it is 0. The backward looks at y alone, and is linear in the gradient: differentiable to any
/// order.
struct BiasActivation {
  double slope = 0.2;
  double gain = 1.4142135623730951;  ///< keeps the variance of a layer's output
  double bound = 0;
};

/// x [N, C, ...], bias [C] of any floating type or undefined; y like x.
at::Tensor bias_activation(const at::Tensor& x, const at::Tensor& bias, const BiasActivation& activation);

}  // namespace ganymede
