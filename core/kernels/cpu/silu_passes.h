#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// The passes of core/channel_passes.h with a SiLU, silu(u) = u / (1 + exp(-u)), where those have a ReLU: x and tensors
/// of its shape are [N, C, H, W] in channels_last order, figures [N, C] or [1, C]. None is an autograd operation.

/// y = silu(x scale + shift).
at::Tensor scale_shift_silu(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift);

/// For the gradient g of that y, with g' = g silu'(x scale + shift): the sums over positions of g' and of
/// g' (x - mean), [2, N, C] float64.
at::Tensor silu_gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                              const at::Tensor& shift, const at::Tensor& mean);

/// g' scale + x slope + constant, with g' as above.
at::Tensor silu_input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                               const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant);

}  // namespace ganymede::cpu
