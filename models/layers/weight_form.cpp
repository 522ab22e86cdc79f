#include "models/layers/weight_form.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/tap_map.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// For one axis: which taps of three fall on tap t of the folded kernel.
using Axis = std::vector<std::vector<std::int64_t>>;

std::vector<std::vector<std::int64_t>> product(const Axis& rows, const Axis& columns) {
  std::vector<std::vector<std::int64_t>> taps;
  for (const auto& row : rows)
    for (const auto& column : columns) {
      taps.emplace_back();
      for (const std::int64_t r : row)
        for (const std::int64_t c : column) taps.back().push_back(r * 3 + c);
    }
  return taps;
}

TapMap after_upsampling() {
  // An even output row sees the input row before once and its own twice; an odd one its own twice, the next
  // once.
  const Axis even{{0}, {1, 2}}, odd{{0, 1}, {2}};
  return {9, 1, {product(even, even), product(even, odd), product(odd, even), product(odd, odd)}};
}

TapMap before_pooling() {
  const Axis axis{{0}, {0, 1}, {1, 2}, {2}};
  return {9, 0.25, {product(axis, axis)}};
}

const TapMap& taps_of(WeightForm form) {
  static const TapMap plain, upsampling = after_upsampling(), pooling = before_pooling();
  switch (form) {
    case WeightForm::after_upsampling:
      return upsampling;
    case WeightForm::before_pooling:
      return pooling;
    case WeightForm::plain:
      break;
  }
  return plain;
}

/// [O, I, h, w] in channels_last order, or [O, I], as [O, positions, I]. A view. In the plain form positions
/// are as good as channels: [O, 1, rest].
at::Tensor rows_of(const at::Tensor& weight, WeightForm form) {
  const at::Tensor flat = weight.dim() == 4 ? weight.permute({0, 2, 3, 1}).flatten(1) : weight;
  return flat.view({weight.size(0), taps_of(form).inputs, -1});
}

/// The shape of a weight in its form.
std::vector<std::int64_t> shape_of(const at::Tensor& weight, WeightForm form) {
  std::vector<std::int64_t> shape = weight.sizes().vec();
  if (form == WeightForm::plain) return shape;
  TORCH_CHECK(shape.size() == 4 && shape[2] == 3 && shape[3] == 3, "only 3x3 kernels take in a resampling");
  const bool up = form == WeightForm::after_upsampling;
  return {shape[0] * (up ? 4 : 1), shape[1], up ? 2 : 4, up ? 2 : 4};
}

/// The inverse of rows_of: a view with the form's shape.
at::Tensor weight_of_rows(const at::Tensor& rows, const std::vector<std::int64_t>& shape) {
  if (shape.size() != 4) return rows.view(shape);
  return rows.view({shape[0], shape[2], shape[3], shape[1]}).permute({0, 3, 1, 2});
}

/// make_weight in differentiable operations.
at::Tensor composed(const at::Tensor& weight, WeightForm form, const SpectralFactors& spectral,
                    at::ScalarType type) {
  at::Tensor rows = rows_of(weight, form);
  if (spectral.u.defined())
    rows = rows / at::dot(spectral.u, at::mv(rows.flatten(1), spectral.v));
  else if (spectral.sigma.defined())
    rows = rows / spectral.sigma;
  if (form != WeightForm::plain) {
    const TapMap& map = taps_of(form);
    rows = at::matmul(map.matrix(rows.options()), rows);  // [O, phases * outputs, I]
    rows = rows.view({weight.size(0), map.phases(), map.outputs(), -1}).transpose(0, 1).flatten(0, 1);
  }
  return weight_of_rows(rows.contiguous(), shape_of(weight, form)).to(type);
}

/// The gradient of use_weight for a gradient g of its result, without a graph.
at::Tensor weight_gradient(const at::Tensor& g, const at::Tensor& weight, WeightForm form,
                           const SpectralFactors& spectral) {
  const at::Tensor dense = g.dim() == 4 ? g.contiguous(at::MemoryFormat::ChannelsLast) : g.contiguous();
  if (form == WeightForm::plain && !spectral.sigma.defined()) return dense.to(weight.scalar_type());
  const at::Tensor like = rows_of(weight, form);
  const at::Tensor g_rows = dense.dim() == 4 ? dense.permute({0, 2, 3, 1}).flatten(1) : dense;
  const GatheredTaps taps = gather_taps(taps_of(form), g_rows, like, spectral.sigma);
  // d(W / sigma): sigma = u^T W v moves along u v^T.
  if (spectral.u.defined())
    taps.rows.flatten(1).addr_(spectral.u * (-taps.product / spectral.sigma), spectral.v);
  return weight_of_rows(taps.rows, weight.sizes().vec());
}

class UseWeight : public torch::autograd::Function<UseWeight> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight, WeightForm form,
                            const SpectralFactors& spectral, const at::Tensor& made) {
    context->saved_data["form"] = static_cast<std::int64_t>(form);
    context->save_for_backward({weight, spectral.u, spectral.v, spectral.sigma});
    return made.detach();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& weight = saved[0];
    const auto form = static_cast<WeightForm>(context->saved_data["form"].toInt());
    const SpectralFactors spectral{saved[1], saved[2], saved[3]};
    at::Tensor result;
    if (at::GradMode::is_enabled())
      result = torch::autograd::grad({composed(weight, form, spectral, gradients[0].scalar_type())}, {weight},
                                     {gradients[0]}, true, true)[0];
    else
      result = weight_gradient(gradients[0], weight, form, spectral);
    return {result, {}, {}, {}};
  }
};

}  // namespace

at::Tensor make_weight(const at::Tensor& weight, WeightForm form, const SpectralFactors& spectral,
                       at::ScalarType type) {
  const at::NoGradGuard no_grad;
  const at::Tensor rows = map_taps(taps_of(form), rows_of(weight, form), spectral.sigma, type);
  return weight_of_rows(rows, shape_of(weight, form));
}

at::Tensor use_weight(const at::Tensor& weight, WeightForm form, const SpectralFactors& spectral,
                      const at::Tensor& made) {
  return UseWeight::apply(weight, form, spectral, made);
}

}  // namespace ganymede
