#include "models/features/frozen_pooling.h"

#include <ATen/ATen.h>

#include "core/kernels/cpu/pool_passes.h"

namespace ganymede {

at::Tensor max_pool(const at::Tensor& x, std::int64_t stride, std::int64_t padding) {
  const auto length = [&](std::int64_t input) { return (input + 2 * padding - 3) / stride + 1; };
  const at::Tensor out = at::empty({x.size(0), x.size(1), length(x.size(2)), length(x.size(3))},
                                   x.options().memory_format(at::MemoryFormat::ChannelsLast));
  max_pool_into(x, stride, padding, out);
  return out;
}

void max_pool_into(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out) {
  if (x.device().is_cpu())
    cpu::max_pool3(x, stride, padding, out);
  else
    out.copy_(at::max_pool2d(x, {3, 3}, {stride, stride}, {padding, padding}));
}

void mean_pool_relu_into(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& out) {
  if (x.device().is_cpu()) return cpu::mean_pool3_relu(x, bias, out);
  const at::Tensor mean =
      at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false, /*count_include_pad=*/false);
  out.copy_((mean + bias.view({1, -1, 1, 1})).relu_());
}

}  // namespace ganymede
