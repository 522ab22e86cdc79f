#include "core/kernels/cuda/resample.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/cuda/element_of.h"
#include "core/kernels/cuda/resample_kernel.h"

namespace ganymede::cuda {
namespace {

constexpr std::int64_t limit = std::int64_t{1} << 31;

ResampleAxis resample_axis(const AxisResampling& axis, std::int64_t inputs) {
  // Where the last tap of the last value lies.
  const std::int64_t end = std::max(axis.size * axis.down, inputs * axis.up) + std::abs(axis.before) + 4;
  TORCH_CHECK(axis.up > 0 && axis.down > 0 && axis.size >= 0 && end + std::max(axis.up, axis.down) < limit,
              "resample: an axis of ", inputs, " values to ", axis.size);
  const auto number = [](std::int64_t value) { return static_cast<int>(value); };
  return {number(axis.up), number(axis.down), number(axis.before),
          number(inputs),  number(axis.size), axis.gain};
}

}  // namespace

at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns) {
  const at::MemoryFormat format = x.suggest_memory_format();
  TORCH_CHECK(x.is_cuda() && x.dim() == 4 && x.is_contiguous(format),
              "resample takes images on a GPU in contiguous or channels_last order");
  TORCH_CHECK(x.size(1) * std::max(x.size(2) * x.size(3), rows.size * columns.size) < limit,
              "resample: an image of 2^31 values or more");
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor y = at::empty({x.size(0), x.size(1), rows.size, columns.size}, x.options(), format);
  if (y.numel() == 0) return y;
  // A contiguous image is as many of one channel.
  const bool planes = format == at::MemoryFormat::Contiguous;
  const ResamplePass pass{element_of(x.scalar_type()),
                          planes ? x.size(0) * x.size(1) : x.size(0),
                          planes ? 1 : x.size(1),
                          resample_axis(rows, x.size(2)),
                          resample_axis(columns, x.size(3)),
                          x.const_data_ptr(),
                          y.mutable_data_ptr()};
  C10_CUDA_CHECK(launch_resample(pass, at::cuda::getCurrentCUDAStream()));
  return y;
}

}  // namespace ganymede::cuda
