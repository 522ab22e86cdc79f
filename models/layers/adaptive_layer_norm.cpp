#include "models/layers/adaptive_layer_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/cpu/token_passes.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::ScalarType type_of_modulation(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor composed_layer_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                               double eps) {
  const at::ScalarType type = x.scalar_type();
  const at::Tensor normal = at::layer_norm(x, {x.size(-1)}, {}, {}, eps);
  return normal * (1 + scale).to(type).unsqueeze(1) + shift.to(type).unsqueeze(1);
}

at::Tensor gated(const at::Tensor& gate, const at::Tensor& branch) {
  return gate.to(branch.scalar_type()).unsqueeze(1) * branch;
}

/// Gradients of those of `inputs` that want one, with a graph of their own.
variable_list differentiated(const at::Tensor& y, const variable_list& inputs, const at::Tensor& g) {
  variable_list wanted, result(inputs.size());
  for (const at::Tensor& input : inputs)
    if (input.requires_grad()) wanted.push_back(input);
  const variable_list found = torch::autograd::grad({y}, wanted, {g}, true, true);
  for (std::size_t i = 0, next = 0; i < inputs.size(); ++i)
    if (inputs[i].requires_grad()) result[i] = found[next++];
  return result;
}

class AdaptiveLayerNorm : public torch::autograd::Function<AdaptiveLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            const at::Tensor& shift, double eps) {
    context->saved_data["eps"] = eps;
    context->save_for_backward({x, scale, shift});
    return cpu::modulate_norm(x, scale, shift, eps);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &scale = saved[1], &shift = saved[2];
    const double eps = context->saved_data["eps"].toDouble();
    variable_list result(4);
    if (at::GradMode::is_enabled()) {
      const variable_list found =
          differentiated(composed_layer_norm(x, scale, shift, eps), saved, gradients[0]);
      std::copy(found.begin(), found.end(), result.begin());
      return result;
    }
    const auto [of_x, sums] = cpu::modulate_norm_gradient(gradients[0].contiguous(), x, scale, eps);
    result[0] = of_x;
    result[1] = sums[0].to(scale.scalar_type());
    result[2] = sums[1].to(shift.scalar_type());
    return result;
  }
};

class GatedSum : public torch::autograd::Function<GatedSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gate,
                            const at::Tensor& branch) {
    context->save_for_backward({gate, branch});
    return cpu::gate_sum(x, gate, branch);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &g = gradients[0], &gate = saved[0], &branch = saved[1];
    if (at::GradMode::is_enabled()) {
      const variable_list found = differentiated(gated(gate, branch), saved, g);
      return {g, found[0], found[1]};
    }
    const auto [of_branch, of_gate] = cpu::gate_sum_gradient(g.contiguous(), gate, branch);
    return {g, of_gate.to(gate.scalar_type()), of_branch};
  }
};

}  // namespace

at::Tensor adaptive_layer_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                               double eps) {
  if (!x.is_cpu()) return composed_layer_norm(x, scale, shift, eps);
  const at::ScalarType figures = type_of_modulation(x);
  return AdaptiveLayerNorm::apply(x.contiguous(), scale.to(figures).contiguous(),
                                  shift.to(figures).contiguous(), eps);
}

at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch) {
  if (!x.is_cpu()) return x + gated(gate, branch);
  return GatedSum::apply(x.contiguous(), gate.to(type_of_modulation(x)).contiguous(), branch.contiguous());
}

}  // namespace ganymede
