#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// The passes of core/channel_passes.h on the CPU.
at::Tensor image_sums(const at::Tensor& x);
at::Tensor scale_shift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, bool relu);
at::Tensor gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                         const at::Tensor& shift, const at::Tensor& mean, bool relu);
at::Tensor input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                          const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant,
                          bool relu);

}  // namespace ganymede::cpu
