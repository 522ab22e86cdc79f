#include "core/channel_passes.h"

#include "core/kernels/cpu/channel_passes.h"
#include "core/kernels/cuda/channel_passes.h"

namespace ganymede {

at::Tensor image_sums(const at::Tensor& x) {
  return x.is_cuda() ? cuda::image_sums(x) : cpu::image_sums(x);
}

at::Tensor scale_shift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, bool relu) {
  return x.is_cuda() ? cuda::scale_shift(x, scale, shift, relu) : cpu::scale_shift(x, scale, shift, relu);
}

at::Tensor gradient_sums(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                         const at::Tensor& shift, const at::Tensor& mean, bool relu) {
  return x.is_cuda() ? cuda::gradient_sums(g, x, scale, shift, mean, relu)
                     : cpu::gradient_sums(g, x, scale, shift, mean, relu);
}

at::Tensor input_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& scale,
                          const at::Tensor& shift, const at::Tensor& slope, const at::Tensor& constant,
                          bool relu) {
  return x.is_cuda() ? cuda::input_gradient(g, x, scale, shift, slope, constant, relu)
                     : cpu::input_gradient(g, x, scale, shift, slope, constant, relu);
}

}  // namespace ganymede
