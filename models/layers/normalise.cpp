#include "models/layers/normalise.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/channel_passes.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::ScalarType figure_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// The group of each image; undefined where there is one only: no one asks then.
at::Tensor groups_of(const at::Tensor& x, const GroupLayout& layout) {
  return layout.groups() == 1 ? at::Tensor() : group_indices(x.size(0), layout, x.device());
}

/// Figures of groups [G, C] as rows of images: [1, C] of one group, else [N, C].
at::Tensor rows_of_images(const at::Tensor& figures, const at::Tensor& groups) {
  return figures.size(0) == 1 ? figures : figures.index_select(0, groups);
}

/// Sums over groups of rows of images: [G, C].
at::Tensor sum_groups(const at::Tensor& rows, const at::Tensor& groups, std::int64_t count) {
  if (count == 1) return rows.sum(0, true);
  return at::zeros({count, rows.size(1)}, rows.options()).index_add(0, groups, rows);
}

/// How gain and bias act on the moments of each image: y = x scale + shift.
struct ScaleShift {
  at::Tensor scale, shift;
};

ScaleShift scale_shift_of(const GroupMoments& rows, const at::Tensor& gain, const at::Tensor& bias,
                          double eps) {
  const at::Tensor scale = gain * at::rsqrt(rows.variance + eps);
  return {scale.contiguous(), (bias - rows.mean * scale).contiguous()};
}

at::Tensor apply_rows(const at::Tensor& x, const ScaleShift& rows, Activation activation) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  const auto view = [&](const at::Tensor& figures) {
    shape[0] = figures.size(0);
    shape[1] = figures.size(1);
    return figures.view(shape);
  };
  const at::Tensor y = at::addcmul(view(rows.shift), x.to(rows.scale.scalar_type()), view(rows.scale));
  return (activation == Activation::relu ? at::relu(y) : y).to(x.scalar_type());
}

/// normalise_batch in differentiable operations, on any device.
Normalised composed(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                    const Normalisation& normalisation, const GroupLayout& layout,
                    Communicator& communicator) {
  const GroupMoments moments = synchronised_moments(x.to(figure_type(x)), layout, communicator);
  const at::Tensor groups = groups_of(x, layout);
  const GroupMoments rows{rows_of_images(moments.mean, groups), rows_of_images(moments.variance, groups)};
  return {apply_rows(x, scale_shift_of(rows, gain, bias, normalisation.eps), normalisation.activation),
          {moments.mean.detach(), moments.variance.detach()}};
}

bool fits_kernels(const at::Tensor& x) {
  return x.dim() == 4 && (x.is_cpu() || x.is_cuda());
}

/// The gradient of `figures` from one row an image.
at::Tensor like_rows(const at::Tensor& gradient, const at::Tensor& figures) {
  return figures.size(0) == 1 ? gradient.sum(0, true) : gradient;
}

class NormaliseBatch : public torch::autograd::Function<NormaliseBatch> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gain,
                               const at::Tensor& bias, const Normalisation& normalisation,
                               const GroupLayout& layout, Communicator* communicator) {
    const at::Tensor groups = groups_of(x, layout);
    const GroupMoments moments = moments_of(x, groups, layout, *communicator);
    const GroupMoments rows{rows_of_images(moments.mean, groups), rows_of_images(moments.variance, groups)};
    const bool relu = normalisation.activation == Activation::relu;
    const ScaleShift figures = scale_shift_of(rows, gain, bias, normalisation.eps);
    at::Tensor y = scale_shift(x, figures.scale, figures.shift, relu);
    auto& data = context->saved_data;
    data["eps"] = normalisation.eps;
    data["relu"] = relu;
    data["layout"] = std::vector<std::int64_t>{layout.first, layout.total, layout.group};
    data["communicator"] = reinterpret_cast<std::int64_t>(communicator);
    context->save_for_backward({x, gain, bias, moments.mean, moments.variance});
    context->mark_non_differentiable({moments.mean, moments.variance});
    return {y, moments.mean, moments.variance};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto& data = context->saved_data;
    auto& communicator = *reinterpret_cast<Communicator*>(data["communicator"].toInt());
    const auto where = data["layout"].toIntVector();
    const GroupLayout layout{where[0], where[1], where[2]};
    const Normalisation normalisation{data["eps"].toDouble(),
                                      data["relu"].toBool() ? Activation::relu : Activation::none};
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gain = saved[1], &bias = saved[2];
    variable_list result(6);
    if (at::GradMode::is_enabled()) {
      const at::Tensor y = composed(x, gain, bias, normalisation, layout, communicator).y;
      variable_list inputs;
      for (std::size_t i = 0; i < 3; ++i)
        if (saved[i].requires_grad()) inputs.push_back(saved[i]);
      const variable_list found = torch::autograd::grad({y}, inputs, {gradients[0]}, true, true);
      for (std::size_t i = 0, next = 0; i < 3; ++i)
        if (saved[i].requires_grad()) result[i] = found[next++];
      return result;
    }
    const at::Tensor g = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const GroupMoments moments{saved[3], saved[4]};
    const at::Tensor groups = groups_of(x, layout);
    const GroupMoments rows{rows_of_images(moments.mean, groups), rows_of_images(moments.variance, groups)};
    const bool relu = normalisation.activation == Activation::relu;
    const ScaleShift figures = scale_shift_of(rows, gain, bias, normalisation.eps);
    const at::Tensor rstd = at::rsqrt(rows.variance + normalisation.eps);
    const at::Tensor sums = gradient_sums(g, x, figures.scale, figures.shift, rows.mean.contiguous(), relu);
    const at::Tensor sum = sums.select(0, 0), product = sums.select(0, 1);  // of g' and of g' (x - mean)
    // Other ranks' losses depend on this rank's images through the moments.
    at::Tensor total = at::stack({sum_groups(-sum * figures.scale, groups, layout.groups()),
                                  sum_groups(product * gain * rstd.pow(3) * -0.5, groups, layout.groups())});
    communicator.all_reduce(total)->wait();
    const double count = static_cast<double>(layout.group * (x.numel() / (x.size(0) * x.size(1))));
    const at::Tensor slope = rows_of_images(total.select(0, 1), groups) * (2 / count);
    const at::Tensor constant = rows_of_images(total.select(0, 0), groups) / count - slope * rows.mean;
    result[0] =
        input_gradient(g, x, figures.scale, figures.shift, slope.contiguous(), constant.contiguous(), relu);
    result[1] = like_rows(product * rstd, gain);
    result[2] = like_rows(sum, bias);
    return result;
  }

 private:
  static GroupMoments moments_of(const at::Tensor& x, const at::Tensor& groups, const GroupLayout& layout,
                                 Communicator& communicator) {
    const at::Tensor per_image = image_sums(x);
    at::Tensor sums = at::stack({sum_groups(per_image.select(0, 0), groups, layout.groups()),
                                 sum_groups(per_image.select(0, 1), groups, layout.groups())});
    communicator.all_reduce(sums)->wait();
    sums.div_(static_cast<double>(layout.group * (x.numel() / (x.size(0) * x.size(1)))));
    const at::Tensor mean = sums.select(0, 0);
    const at::Tensor variance = (sums.select(0, 1) - mean.square()).clamp_min(0);
    return {mean.to(figure_type(x)).contiguous(), variance.to(figure_type(x)).contiguous()};
  }
};

}  // namespace

Normalised normalise_batch(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                           const Normalisation& normalisation, const GroupLayout& layout,
                           Communicator& communicator) {
  TORCH_CHECK(layout.group > 0 && layout.total % layout.group == 0, "groups of ", layout.group,
              " images do not divide a micro-batch of ", layout.total);
  if (!fits_kernels(x)) return composed(x, gain, bias, normalisation, layout, communicator);
  const auto result = NormaliseBatch::apply(x.contiguous(at::MemoryFormat::ChannelsLast), gain.contiguous(),
                                            bias.contiguous(), normalisation, layout, &communicator);
  return {result[0], {result[1], result[2]}};
}

at::Tensor normalise_with(const GroupMoments& moments, const at::Tensor& x, const at::Tensor& gain,
                          const at::Tensor& bias, const Normalisation& normalisation) {
  const ScaleShift rows = scale_shift_of(moments, gain, bias, normalisation.eps);
  if (!at::GradMode::is_enabled() && fits_kernels(x))
    return scale_shift(x.contiguous(at::MemoryFormat::ChannelsLast), rows.scale, rows.shift,
                       normalisation.activation == Activation::relu);
  return apply_rows(x, rows, normalisation.activation);
}

}  // namespace ganymede
