#include "models/layers/convolution.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  std::int64_t stride, padding;
};

void keep_shape(AutogradContext* context, const Shape& shape) {
  context->saved_data["stride"] = shape.stride;
  context->saved_data["padding"] = shape.padding;
}

Shape kept_shape(AutogradContext* context) {
  return {context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt()};
}

/// The gradients of x, weight and bias that are asked for.
std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients_of(const at::Tensor& g, const at::Tensor& x,
                                                            const at::Tensor& weight, const Shape& shape,
                                                            std::array<bool, 3> wanted) {
  const std::int64_t bias[] = {weight.size(0)};
  return at::convolution_backward(g, x, weight, bias, {shape.stride, shape.stride},
                                  {shape.padding, shape.padding}, {1, 1}, false, {0, 0}, 1, wanted);
}

/// The gradient of x as a function of g and the weight: linear in each.
class InputGradient : public torch::autograd::Function<InputGradient> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& g, const at::Tensor& x,
                            const at::Tensor& weight, const Shape& shape) {
    keep_shape(context, shape);
    context->save_for_backward({g, weight});
    return std::get<0>(gradients_of(g, x, weight, shape, {true, false, false}));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Shape shape = kept_shape(context);
    const auto saved = context->get_saved_variables();
    const at::Tensor &g = saved[0], &weight = saved[1], &gg = gradients[0];
    variable_list result(4);
    if (context->needs_input_grad(0)) result[0] = convolution(gg, weight, {}, shape.stride, shape.padding);
    if (context->needs_input_grad(2))
      result[2] = std::get<1>(gradients_of(g, gg, weight, shape, {false, true, false}));
    return result;
  }
};

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Shape& shape) {
    keep_shape(context, shape);
    context->saved_data["bias"] = bias.has_value();
    context->save_for_backward({x, weight});
    return at::conv2d(x, weight, bias, shape.stride, shape.padding);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Shape shape = kept_shape(context);
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &g = gradients[0];
    const bool has_bias = context->saved_data["bias"].toBool();
    std::array<bool, 3> wanted = {context->needs_input_grad(0), context->needs_input_grad(1),
                                  has_bias && context->needs_input_grad(2)};
    variable_list result(4);
    if (at::GradMode::is_enabled() && wanted[0]) {
      result[0] = InputGradient::apply(g, x.detach(), weight, shape);
      wanted[0] = false;
    }
    if (wanted[0] || wanted[1] || wanted[2]) {
      const auto [of_x, of_weight, of_bias] = gradients_of(g, x, weight, shape, wanted);
      if (wanted[0]) result[0] = of_x;
      result[1] = of_weight;
      result[2] = of_bias;
    }
    return result;
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       std::int64_t stride, std::int64_t padding) {
  return Convolution::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt,
                            Shape{stride, padding});
}

}  // namespace ganymede
