#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Passes over images by channel, on the CPU or a CUDA device. x and all tensors of its shape are
/// [N, C, H, W], float32, float64, bfloat16 or float16, in channels_last order (checked); figures of an
/// image's channels are [N, C], or [1, C] where all images share them, in float64 for float64 and float32
/// otherwise. None of them is an autograd operation. On a GPU they run on the current stream.
///
/// Bytes moved, in units of x: image_sums reads 1; scale_shift reads 1 and writes 1; gradient_sums reads 2;
/// input_gradient reads 2 and writes 1. Figures are 1 / (H W) of that.

/// Sums of x and of x^2 over positions: [2, N, C] float64. Squares are summed about a value near the image's
/// mean, so that a large mean does not cancel the digits of the variance.
at::Tensor image_sums(const at::Tensor& x);

/// y = x scale + shift, and with `relu` max(y, 0).
at::Tensor scale_shift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, bool relu);

/// For the gradient g of scale_shift's y, with g' = g where y > 0 or without `relu` everywhere, else 0: the
/// sums over positions of g' and of g' (x - mean), [2, N, C].
at::Tensor gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                         const at::Tensor& shift, const at::Tensor& mean, bool relu);

/// g' scale + x slope + constant, with g' as above.
at::Tensor input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                          const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant,
                          bool relu);

}  // namespace ganymede
