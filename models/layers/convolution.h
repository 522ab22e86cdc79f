#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// at::conv2d: x [N, in, H, W], weight [out, in, k, k], bias [out] or undefined -> [N, out, H', W'], in x's type.
/// Differentiable to any order; what differs is the cost of a second derivative. Of a gradient penalty's two passes
/// back, PyTorch computes the weight's share as a convolution whose kernel is as large as the image and whose channels
/// are the batch; here it is an ordinary gradient of a weight.
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       std::int64_t stride, std::int64_t padding);

/// The 3x3 convolution, padding 1, of x doubled in size (nearest): x [N, in, H, W], weight [4 out, in, 2, 2] in
/// WeightForm::after_upsampling, bias [4 out], the same four times, or undefined -> [N, out, 2 H, 2 W]. Differentiable
/// as convolution() is.
at::Tensor upsampled_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace ganymede
