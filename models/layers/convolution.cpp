#include "models/layers/convolution.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/layers/phases.h"

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

void keep(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
          const std::optional<at::Tensor>& bias, const Shape& shape) {
  keep_shape(context, shape);
  context->saved_data["bias"] = bias.has_value();
  context->save_for_backward({x, weight});
}

/// What the gradient g of the convolution's result comes to.
variable_list backward_of(AutogradContext* context, const at::Tensor& g) {
  const Shape shape = kept_shape(context);
  const auto saved = context->get_saved_variables();
  const at::Tensor &x = saved[0], &weight = saved[1];
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

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Shape& shape) {
    keep(context, x, weight, bias, shape);
    return at::conv2d(x, weight, bias, shape.stride, shape.padding);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return backward_of(context, gradients[0]);
  }
};

/// Positions of maps whose phases a CPU computes apart. Then none are thrown away, which of 4 x 4 are a third, and
/// kernels stay in the cache; of large maps with few channels one convolution is faster.
constexpr std::int64_t most_apart = 256;

/// Backward, it is the convolution that gives all phases at once.
class UpsampledConvolution : public torch::autograd::Function<UpsampledConvolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Shape& shape) {
    keep(context, x, weight, bias, shape);
    const std::int64_t height = x.size(2), width = x.size(3), channels = weight.size(0) / 4;
    if (!x.is_cpu() || height * width > most_apart)
      return join_phases(at::conv2d(x, weight, bias, shape.stride, shape.padding));
    const at::Tensor padded = at::constant_pad_nd(x, {1, 1, 1, 1});
    at::Tensor image =
        at::empty({x.size(0), channels, 2 * height, 2 * width}, x.options(), at::MemoryFormat::ChannelsLast);
    for (std::int64_t a = 0; a < 2; ++a)
      for (std::int64_t b = 0; b < 2; ++b) {
        const std::int64_t from = (2 * a + b) * channels;
        const at::Tensor window = padded.narrow(2, a, height + 1).narrow(3, b, width + 1);
        const auto own_bias = bias ? std::optional(bias->narrow(0, from, channels)) : std::nullopt;
        const at::Tensor phase = at::conv2d(window.contiguous(at::MemoryFormat::ChannelsLast),
                                            weight.narrow(0, from, channels), own_bias);
        copy_positions(positions_of(image, a, b), phase.contiguous(at::MemoryFormat::ChannelsLast));
      }
    return image;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return backward_of(context, split_phases(gradients[0]));
  }
};

std::optional<at::Tensor> optional_of(const at::Tensor& bias) {
  return bias.defined() ? std::optional(bias) : std::nullopt;
}

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       std::int64_t stride, std::int64_t padding) {
  return Convolution::apply(x, weight, optional_of(bias), Shape{stride, padding});
}

at::Tensor upsampled_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(weight.dim() == 4 && weight.size(0) % 4 == 0 && weight.size(2) == 2 && weight.size(3) == 2,
              "a weight [4 out, in, 2, 2] is expected, got ", weight.sizes());
  return UpsampledConvolution::apply(x, weight, optional_of(bias), Shape{1, 1});
}

}  // namespace ganymede
