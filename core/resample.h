#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// How one axis is resampled with the filter (1, 3, 3, 1) / 8: `up` - 1 zeros behind each value, `before` zeros in
/// front (negative: values dropped), the filter times `gain`, and of the result each `down`-th, `size` in all.
struct AxisResampling {
  std::int64_t up = 1, down = 1, before = 0, size = 0;
  double gain = 1;
};

/// x [N, C, H, W], float32, float64, bfloat16 or float16, on the CPU or a CUDA device, with both axes resampled:
/// [N, C, rows.size, columns.size]. On the CPU the result is channels_last; on a GPU it lies as x does, contiguous or
/// channels_last. Not an autograd operation. On a GPU it runs on the current stream.
at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns);

}  // namespace ganymede
