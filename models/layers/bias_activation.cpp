#include "models/layers/bias_activation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/activation.h"

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

ActivationFigures figures_of(const BiasActivation& activation) {
  return {activation.slope, activation.gain, activation.bound};
}

/// g times the activation's derivative where its result is y.
class ActivationGradient : public torch::autograd::Function<ActivationGradient> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& g, const at::Tensor& y,
                            const BiasActivation& activation) {
    keep(context, activation);
    context->save_for_backward({y});
    const bool alike = g.strides() == y.strides() && g.sizes() == y.sizes();
    return activation_gradient(alike ? g : at::empty_like(y).copy_(g), y, figures_of(activation));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {apply(gradients[0], context->get_saved_variables()[0], kept(context)), {}, {}};
  }
};

class ActivatedSum : public torch::autograd::Function<ActivatedSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& bias, const BiasActivation& activation) {
    keep(context, activation);
    context->saved_data["bias"] = bias.has_value();
    at::Tensor y = ganymede::activation(x.contiguous(x.suggest_memory_format()),
                                        bias ? bias->contiguous() : at::Tensor(), figures_of(activation));
    context->save_for_backward({y});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor y = context->get_saved_variables()[0];
    const at::Tensor of_sum = ActivationGradient::apply(gradients[0], y, kept(context));
    variable_list result{of_sum, {}, {}};
    if (!context->saved_data["bias"].toBool() || !context->needs_input_grad(1)) return result;
    std::vector<std::int64_t> others{0};
    for (std::int64_t dimension = 2; dimension < y.dim(); ++dimension) others.push_back(dimension);
    result[1] = of_sum.sum(others);
    return result;
  }
};

}  // namespace

at::Tensor bias_activation(const at::Tensor& x, const at::Tensor& bias, const BiasActivation& activation) {
  return ActivatedSum::apply(x, bias.defined() ? std::optional(bias.to(x.scalar_type())) : std::nullopt,
                             activation);
}

}  // namespace ganymede
