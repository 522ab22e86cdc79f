#include "models/layers/pixel_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/cpu/position_norm.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// activated_pixel_norm in differentiable operations, on any device.
at::Tensor composed(const at::Tensor& x, double slope, double eps) {
  return pixel_norm(at::leaky_relu(x, slope), eps);
}

class ActivatedPixelNorm : public torch::autograd::Function<ActivatedPixelNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double slope, double eps) {
    context->saved_data["slope"] = slope;
    context->saved_data["eps"] = eps;
    context->save_for_backward({x});
    return cpu::position_norm(x, slope, eps);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const double slope = context->saved_data["slope"].toDouble();
    const double eps = context->saved_data["eps"].toDouble();
    const at::Tensor x = context->get_saved_variables()[0];
    if (at::GradMode::is_enabled())
      return {torch::autograd::grad({composed(x, slope, eps)}, {x}, gradients, true, true)[0], {}, {}};
    const at::Tensor g = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    return {cpu::position_norm_gradient(g, x, slope, eps), {}, {}};
  }
};

}  // namespace

at::Tensor pixel_norm(const at::Tensor& x, double eps) {
  const at::Tensor exact = x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  return (exact * at::rsqrt(exact.square().mean({1}, /*keepdim=*/true) + eps)).to(x.scalar_type());
}

at::Tensor activated_pixel_norm(const at::Tensor& x, double slope, double eps) {
  if (!x.is_cpu() || x.dim() != 4) return composed(x, slope, eps);
  return ActivatedPixelNorm::apply(x.contiguous(at::MemoryFormat::ChannelsLast), slope, eps);
}

}  // namespace ganymede
