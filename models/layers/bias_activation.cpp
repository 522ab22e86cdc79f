#include "models/layers/bias_activation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void keep(AutogradContext* context, const BiasActivation& activation) {
  context->saved_data["slope"] = activation.slope;
  context->saved_data["gain"] = activation.gain;
  context->saved_data["bound"] = activation.bound;
}

BiasActivation kept(AutogradContext* context) {
  auto& data = context->saved_data;
  return {data["slope"].toDouble(), data["gain"].toDouble(), data["bound"].toDouble()};
}

/// g times the activation's derivative where its result is y.
class ActivationGradient : public torch::autograd::Function<ActivationGradient> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& g, const at::Tensor& y,
                            const BiasActivation& activation) {
    keep(context, activation);
    context->save_for_backward({y});
    at::Tensor result = at::where(y > 0, g, g * activation.slope).mul_(activation.gain);
    if (activation.bound > 0) result.masked_fill_(y.abs() >= activation.bound, 0);
    return result;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {apply(gradients[0], context->get_saved_variables()[0], kept(context)), {}, {}};
  }
};

class ActivatedSum : public torch::autograd::Function<ActivatedSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const BiasActivation& activation) {
    keep(context, activation);
    at::Tensor y = at::leaky_relu(x, activation.slope).mul_(activation.gain);
    if (activation.bound > 0) y.clamp_(-activation.bound, activation.bound);
    context->save_for_backward({y});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {ActivationGradient::apply(gradients[0], context->get_saved_variables()[0], kept(context)), {}};
  }
};

}  // namespace

at::Tensor bias_activation(const at::Tensor& x, const at::Tensor& bias, const BiasActivation& activation) {
  if (!bias.defined()) return ActivatedSum::apply(x, activation);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = -1;
  return ActivatedSum::apply(x + bias.to(x.scalar_type()).view(shape), activation);
}

}  // namespace ganymede
