#include "core/kernels/cuda/activation.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/channel_layout.h"
#include "core/kernels/cuda/activation_kernel.h"
#include "core/kernels/cuda/element_of.h"

namespace ganymede::cuda {
namespace {

using Launch = cudaError_t (*)(const ActivationPass&, cudaStream_t);

at::Tensor write_like(const at::Tensor& x, const ChannelLayout& layout, const ActivationFigures& figures,
                      const void* bias, const void* g, Launch launch) {
  TORCH_CHECK(layout.channels * layout.inner < (std::int64_t{1} << 31), "an image of 2^31 values or more");
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor out = at::empty_like(x);
  const ActivationPass pass{element_of(x.scalar_type()),
                            layout.outer,
                            layout.channels,
                            layout.inner,
                            figures.slope,
                            figures.gain,
                            figures.bound,
                            x.const_data_ptr(),
                            bias,
                            g,
                            out.mutable_data_ptr()};
  if (x.numel() > 0) C10_CUDA_CHECK(launch(pass, at::cuda::getCurrentCUDAStream()));
  return out;
}

}  // namespace

at::Tensor activation(const at::Tensor& x, const at::Tensor& bias, const ActivationFigures& figures) {
  const ChannelLayout layout = channel_layout(x);
  TORCH_CHECK(x.is_cuda(), "a tensor on a GPU is expected");
  TORCH_CHECK(!bias.defined() || (bias.device() == x.device() && bias.numel() == layout.channels &&
                                  bias.is_contiguous() && bias.scalar_type() == x.scalar_type()),
              "a bias is [C], of the type of what it is added to and beside it");
  if (bias.defined())
    return write_like(x, layout, figures, bias.const_data_ptr(), nullptr, launch_activation);
  return write_like(x, {x.numel(), 1, 1}, figures, nullptr, nullptr, launch_activation);
}

at::Tensor activation_gradient(const at::Tensor& g, const at::Tensor& y, const ActivationFigures& figures) {
  TORCH_CHECK(y.is_cuda() && y.is_non_overlapping_and_dense() && g.device() == y.device() &&
                  g.strides() == y.strides() && g.sizes() == y.sizes() && g.scalar_type() == y.scalar_type(),
              "dense tensors of one shape, order and type on a GPU are expected");
  return write_like(y, {y.numel(), 1, 1}, figures, nullptr, g.const_data_ptr(), launch_activation_gradient);
}

}  // namespace ganymede::cuda
