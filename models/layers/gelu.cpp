#include "models/layers/gelu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/cpu/gelu_passes.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class GeluTanh : public torch::autograd::Function<GeluTanh> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return cpu::gelu_tanh(x);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    if (at::GradMode::is_enabled())
      return torch::autograd::grad({at::gelu(x, "tanh")}, {x}, {gradients[0]}, true, true);
    return {cpu::gelu_tanh_gradient(gradients[0].contiguous(), x)};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  return x.is_cpu() ? GeluTanh::apply(x.contiguous()) : at::gelu(x, "tanh");
}

}  // namespace ganymede
