#include "core/kernels/cuda/channel_passes.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/cuda/channel_passes_kernel.h"
#include "core/kernels/cuda/element_of.h"

namespace ganymede::cuda {
namespace {

// Enough for every multiprocessor to have several.
constexpr std::int64_t blocks_a_multiprocessor = 8;

at::ScalarType figure_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

bool is_dense(const at::Tensor& x) {
  return x.is_cuda() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

ChannelPass pass_over(const at::Tensor& x, bool relu = false) {
  TORCH_CHECK(is_dense(x), "images [N, C, H, W] in channels_last order on a GPU are expected");
  const std::int64_t positions = x.size(2) * x.size(3);
  TORCH_CHECK(positions * x.size(1) < (std::int64_t{1} << 31), "an image of 2^31 values or more");
  ChannelPass pass{};
  pass.type = element_of(x.scalar_type());
  pass.images = x.numel() == 0 ? 0 : x.size(0);
  pass.positions = positions;
  pass.channels = x.size(1);
  pass.relu = relu;
  pass.x = x.const_data_ptr();
  return pass;
}

void add_gradient(ChannelPass& pass, const at::Tensor& g, const at::Tensor& x) {
  TORCH_CHECK(g.sizes() == x.sizes() && g.scalar_type() == x.scalar_type() && is_dense(g),
              "tensors of one shape, order and type are expected");
  pass.g = g.const_data_ptr();
}

Figures figures_of(const at::Tensor& figures, const at::Tensor& x) {
  TORCH_CHECK(figures.dim() == 2 && figures.is_contiguous() && figures.size(1) == x.size(1) &&
                  (figures.size(0) == 1 || figures.size(0) == x.size(0)) &&
                  figures.scalar_type() == figure_type(x) && figures.device() == x.device(),
              "figures of an image's channels are [N, C] or [1, C]");
  return {figures.const_data_ptr(), figures.size(0) == 1 ? 0 : figures.size(1)};
}

using Launch = cudaError_t (*)(const ChannelPass&, cudaStream_t);

at::Tensor write_like(const at::Tensor& x, ChannelPass pass, Launch launch) {
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor out = at::empty_like(x);
  pass.out = out.mutable_data_ptr();
  C10_CUDA_CHECK(launch(pass, at::cuda::getCurrentCUDAStream()));
  return out;
}

/// [2, N, C] float64.
at::Tensor sum_over_positions(const at::Tensor& x, ChannelPass pass, Launch launch) {
  const c10::cuda::CUDAGuard guard(x.device());
  if (pass.images == 0) return at::zeros({2, x.size(0), x.size(1)}, x.options().dtype(at::kDouble));
  // Few images of many positions are cut, so that all of the device has work.
  const std::int64_t wanted =
      at::cuda::getCurrentDeviceProperties()->multiProcessorCount * blocks_a_multiprocessor;
  const std::int64_t most = std::max<std::int64_t>(pass.positions / least_slab(pass), 1);
  pass.slabs = static_cast<int>(std::clamp<std::int64_t>(wanted / blocks_a_slab(pass), 1, most));
  at::Tensor sums = at::empty({pass.slabs, 2, pass.images, pass.channels}, x.options().dtype(at::kDouble),
                              at::MemoryFormat::Contiguous);
  pass.sums = sums.mutable_data_ptr<double>();
  C10_CUDA_CHECK(launch(pass, at::cuda::getCurrentCUDAStream()));
  return pass.slabs == 1 ? sums.select(0, 0) : sums.sum(0);
}

}  // namespace

at::Tensor image_sums(const at::Tensor& x) {
  return sum_over_positions(x, pass_over(x), launch_image_sums);
}

at::Tensor scale_shift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, bool relu) {
  ChannelPass pass = pass_over(x, relu);
  pass.scale = figures_of(scale, x);
  pass.shift = figures_of(shift, x);
  return write_like(x, pass, launch_scale_shift);
}

at::Tensor gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                         const at::Tensor& shift, const at::Tensor& mean, bool relu) {
  ChannelPass pass = pass_over(x, relu);
  add_gradient(pass, g, x);
  pass.scale = figures_of(scale, x);
  pass.shift = figures_of(shift, x);
  pass.mean = figures_of(mean, x);
  return sum_over_positions(x, pass, launch_gradient_sums).to(figure_type(x));
}

at::Tensor input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                          const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant,
                          bool relu) {
  ChannelPass pass = pass_over(x, relu);
  add_gradient(pass, g, x);
  pass.scale = figures_of(scale, x);
  pass.shift = figures_of(shift, x);
  pass.slope = figures_of(slope, x);
  pass.constant = figures_of(constant, x);
  return write_like(x, pass, launch_input_gradient);
}

}  // namespace ganymede::cuda
