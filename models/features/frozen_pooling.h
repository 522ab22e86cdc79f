#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// Pools over 3x3 windows for networks that are never trained: core/kernels/cpu/pool_passes.h on the CPU,
/// libtorch's elsewhere. x: [N, C, H, W], channels_last. `out` may be some channels of a wider tensor.

at::Tensor max_pool(const at::Tensor& x, std::int64_t stride, std::int64_t padding);
void max_pool_into(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out);

/// out = max(0, mean + bias) with stride 1; the padding of 1 does not count in the mean. bias: [C] float32.
void mean_pool_relu_into(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& out);

}  // namespace ganymede
