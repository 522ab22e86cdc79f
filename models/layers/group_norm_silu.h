#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ganymede {

/// Group norm, and the SiLU behind it, in one pass over memory beside one for the sums, with what a time or a label adds
/// before and changes after the norm. x [N, C, H, W] on the CPU, of any floating type; offset [N, C] or undefined, gain
/// and bias [1, C] or [N, C], of float32 (float64 for float64 x):
///
///     h = x + offset
///     y = silu((h - mean) / sqrt(variance + eps) * gain + bias)
///
/// mean and variance over the positions and C / groups channels of each group of an image; sums are float64, figures of
/// channels float32 or better whatever x's type. y in x's type and channels_last order. Backward reads x and the gradient
/// twice and keeps x alone. Differentiable to any order, from the second on in plain operations.
at::Tensor group_norm_silu(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& gain,
                           const at::Tensor& bias, std::int64_t groups, double eps);
/// The same without an offset, of maps put together along channels, which they are not. No autograd operation: throws
/// where gradients are recorded.
std::vector<at::Tensor> group_norm_silu_apart(const std::vector<at::Tensor>& maps, const at::Tensor& gain,
                                              const at::Tensor& bias, std::int64_t groups, double eps);
/// group_norm_silu() without SiLU and offset: libtorch's takes up to twenty times as long for small maps in
/// channels_last order.
at::Tensor group_norm_pass(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, std::int64_t groups,
                           double eps);

}  // namespace ganymede
