#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// Pooling over 3x3 windows. x is [N, C, H, W], float32 or bfloat16, on the CPU, in channels_last order; `out`
/// is of the same type and may be some of the channels of a wider tensor in that order, so that what is
/// concatenated need not be copied; more than one position in each direction (all of this is checked). None is
/// an autograd operation.

/// The largest value of each window. out: [N, C, (H + 2 padding - 3) / stride + 1, W likewise]; padding is 0
/// or 1 and counts for nothing. NaN may be lost.
void max_pool3(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out);

/// max(0, mean + bias), the mean over the positions of each window that lie inside the image; stride 1. bias:
/// [C] float32. out: the shape of x.
void mean_pool3_relu(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& out);

}  // namespace ganymede::cpu
