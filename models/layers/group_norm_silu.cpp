#include "models/layers/group_norm_silu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/kernels/cpu/channel_passes.h"
#include "core/kernels/cpu/silu_passes.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::ScalarType type_of_figures(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor over_positions(const at::Tensor& rows) {
  return rows.unsqueeze(-1).unsqueeze(-1);
}

struct NormOptions {
  std::int64_t groups;
  double eps;
  bool silu;  ///< behind the norm
};

/// The norm in differentiable operations.
at::Tensor composed_norm(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& gain,
                         const at::Tensor& bias, const NormOptions& options) {
  at::Tensor h = x.to(type_of_figures(x));
  if (offset.defined()) h = h + over_positions(offset);
  const at::Tensor normal = at::group_norm(h, options.groups, {}, {}, options.eps);
  const at::Tensor u = normal * over_positions(gain) + over_positions(bias);
  return (options.silu ? at::silu(u) : u).to(x.scalar_type());
}

/// FigureRows [N, C] or [1, C] in float64, by image.
class FigureRows {
 public:
  explicit FigureRows(const at::Tensor& rows)
      : rows_(rows.defined() ? rows.to(at::kDouble).contiguous() : rows),
        data_(rows.defined() ? rows_.const_data_ptr<double>() : nullptr),
        stride_(!rows.defined() || rows.size(0) == 1 ? 0 : rows.size(1)) {}
  double at(std::int64_t n, std::int64_t c) const { return data_ ? data_[n * stride_ + c] : 0; }

 private:
  at::Tensor rows_;
  const double* data_;
  std::int64_t stride_;
};

/// Of images [N, C, H, W].
struct Sizes {
  explicit Sizes(const at::Tensor& x)
      : images(x.size(0)), channels(x.size(1)), positions(x.size(2) * x.size(3)), figures(type_of_figures(x)) {}
  std::int64_t images, channels, positions;
  at::ScalarType figures;  ///< the type of their channels' figures
};

/// New figures [N, C], float64.
struct NewFigureRows {
  explicit NewFigureRows(const Sizes& sizes)
      : rows(at::empty({sizes.images, sizes.channels}, at::kDouble)), data(rows.data_ptr<double>()) {}
  at::Tensor rows;
  double* data;
};

/// What the passes take of a norm: y = x scale + shift before any SiLU, and the mean that x, without its offset, is
/// compared with.
struct Affine {
  at::Tensor scale, shift, mean, rstd;  ///< [N, C]; rstd float64, the others of type_of_figures(x)
};

Affine affine_of(const Sizes& sizes, const at::Tensor& sums, const at::Tensor& offset, const at::Tensor& gain,
                 const at::Tensor& bias, const NormOptions& options) {
  const std::int64_t images = sizes.images, channels = sizes.channels, width = channels / options.groups;
  const auto positions = static_cast<double>(sizes.positions);
  const double count = positions * static_cast<double>(width);
  const double* first = sums.const_data_ptr<double>();
  const double* second = first + images * channels;
  const FigureRows offsets(offset), gains(gain), biases(bias);
  NewFigureRows scale(sizes), shift(sizes), mean(sizes), rstd(sizes);
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t from = 0; from < channels; from += width) {
      double sum = 0, square = 0;
      for (std::int64_t c = from; c < from + width; ++c) {
        const double o = offsets.at(n, c), own = first[n * channels + c];
        sum += own + positions * o;
        square += second[n * channels + c] + o * (2 * own + positions * o);
      }
      const double middle = sum / count;
      const double r = 1 / std::sqrt(std::max(square / count - middle * middle, 0.0) + options.eps);
      for (std::int64_t c = from; c < from + width; ++c) {
        const std::int64_t i = n * channels + c;
        mean.data[i] = middle - offsets.at(n, c);
        rstd.data[i] = r;
        scale.data[i] = gains.at(n, c) * r;
        shift.data[i] = biases.at(n, c) - mean.data[i] * scale.data[i];
      }
    }
  return {scale.rows.to(sizes.figures), shift.rows.to(sizes.figures), mean.rows.to(sizes.figures), rstd.rows};
}

/// The gradient of rows that all images may share.
at::Tensor shared_like(const at::Tensor& gradient, const at::Tensor& rows) {
  return (rows.size(0) == 1 ? gradient.sum(0, true) : gradient).to(rows.scalar_type());
}

class FusedGroupNorm : public torch::autograd::Function<FusedGroupNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& offset, const at::Tensor& gain,
                            const at::Tensor& bias, const NormOptions& options) {
    const at::Tensor sums = cpu::image_sums(x), added = offset.value_or(at::Tensor());
    const Affine norm = affine_of(Sizes(x), sums, added, gain, bias, options);
    context->saved_data["groups"] = options.groups;
    context->saved_data["eps"] = options.eps;
    context->saved_data["silu"] = options.silu;
    context->save_for_backward({x, added, gain, bias, sums});
    return options.silu ? cpu::scale_shift_silu(x, norm.scale, norm.shift)
                        : cpu::scale_shift(x, norm.scale, norm.shift, false);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &offset = saved[1], &gain = saved[2], &bias = saved[3], &sums = saved[4];
    const NormOptions options{context->saved_data["groups"].toInt(), context->saved_data["eps"].toDouble(),
                              context->saved_data["silu"].toBool()};
    variable_list result(5);
    if (at::GradMode::is_enabled()) {
      const at::Tensor y = composed_norm(x, offset, gain, bias, options);
      variable_list inputs;
      for (std::size_t i = 0; i < 4; ++i)
        if (saved[i].defined() && saved[i].requires_grad()) inputs.push_back(saved[i]);
      const variable_list found = torch::autograd::grad({y}, inputs, {gradients[0]}, true, true);
      for (std::size_t i = 0, next = 0; i < 4; ++i)
        if (saved[i].defined() && saved[i].requires_grad()) result[i] = found[next++];
      return result;
    }
    const at::Tensor g = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const Sizes sizes(x);
    const Affine norm = affine_of(sizes, sums, offset, gain, bias, options);
    const at::Tensor of_y =
        options.silu ? cpu::silu_gradient_sums(g, x, norm.scale, norm.shift, norm.mean)
                     : cpu::gradient_sums(g, x, norm.scale, norm.shift, norm.mean, false).to(at::kDouble);
    const std::int64_t images = sizes.images, channels = sizes.channels, width = channels / options.groups;
    const auto positions = static_cast<double>(sizes.positions);
    const double count = positions * static_cast<double>(width);
    const double* sum = of_y.const_data_ptr<double>();  // of g' = g silu', then of g' (h - mean)
    const double* product = sum + images * channels;
    const double* of_x = sums.const_data_ptr<double>();
    const double* rstd = norm.rstd.const_data_ptr<double>();
    const FigureRows gains(gain), means(norm.mean);
    NewFigureRows slope(sizes), constant(sizes), of_offset(sizes), of_gain(sizes);
    for (std::int64_t n = 0; n < images; ++n)
      for (std::int64_t from = 0; from < channels; from += width) {
        const double r = rstd[n * channels + from];
        double flat = 0, along = 0;  // means of the gradient of the normalised h, and of it times h - mean
        for (std::int64_t c = from; c < from + width; ++c) {
          flat += gains.at(n, c) * sum[n * channels + c] / count;
          along += gains.at(n, c) * product[n * channels + c] / count;
        }
        for (std::int64_t c = from; c < from + width; ++c) {
          const std::int64_t i = n * channels + c;
          slope.data[i] = -along * r * r * r;
          constant.data[i] = -flat * r - slope.data[i] * means.at(n, c);
          of_offset.data[i] =
              gains.at(n, c) * r * sum[i] + slope.data[i] * of_x[i] + positions * constant.data[i];
          of_gain.data[i] = product[i] * r;
        }
      }
    const at::Tensor slopes = slope.rows.to(sizes.figures), constants = constant.rows.to(sizes.figures);
    result[0] = options.silu ? cpu::silu_input_gradient(g, x, norm.scale, norm.shift, slopes, constants)
                             : cpu::input_gradient(g, x, norm.scale, norm.shift, slopes, constants, false);
    if (offset.defined()) result[1] = of_offset.rows.to(offset.scalar_type());
    result[2] = shared_like(of_gain.rows, gain);
    result[3] = shared_like(of_y.select(0, 0), bias);
    return result;
  }
};

at::Tensor fused(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& gain, const at::Tensor& bias,
                 const NormOptions& options) {
  TORCH_CHECK(x.is_cpu() && x.dim() == 4 && x.size(1) % options.groups == 0,
              "group norm: images [N, C, H, W] on the CPU are expected, C a multiple of ", options.groups);
  return FusedGroupNorm::apply(x.contiguous(at::MemoryFormat::ChannelsLast),
                               offset.defined() ? std::optional(offset) : std::nullopt, gain, bias, options);
}

}  // namespace

at::Tensor group_norm_silu(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& gain,
                           const at::Tensor& bias, std::int64_t groups, double eps) {
  return fused(x, offset, gain, bias, {groups, eps, true});
}

std::vector<at::Tensor> group_norm_silu_apart(const std::vector<at::Tensor>& maps, const at::Tensor& gain,
                                              const at::Tensor& bias, std::int64_t groups, double eps) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "group norm of maps apart is no autograd operation");
  Sizes together(maps.front());
  together.channels = 0;
  std::vector<at::Tensor> dense, sums;
  for (const at::Tensor& map : maps) {
    TORCH_CHECK(map.is_cpu() && map.dim() == 4 && map.size(0) == together.images &&
                    map.size(2) * map.size(3) == together.positions && map.scalar_type() == maps.front().scalar_type(),
                "group norm: maps [N, C, H, W] on the CPU are expected, alike but for C");
    dense.push_back(map.contiguous(at::MemoryFormat::ChannelsLast));
    sums.push_back(cpu::image_sums(dense.back()));
    together.channels += map.size(1);
  }
  TORCH_CHECK(together.channels == gain.size(1) && together.channels % groups == 0, "group norm: ", gain.size(1),
              " channels in ", groups, " groups are expected, got ", together.channels);
  const Affine norm = affine_of(together, at::cat(sums, 2), {}, gain, bias, {groups, eps, true});
  std::vector<at::Tensor> result;
  std::int64_t from = 0;
  for (const at::Tensor& map : dense) {
    const auto own = [&](const at::Tensor& figures) { return figures.narrow(1, from, map.size(1)).contiguous(); };
    result.push_back(cpu::scale_shift_silu(map, own(norm.scale), own(norm.shift)));
    from += map.size(1);
  }
  return result;
}

at::Tensor group_norm_pass(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, std::int64_t groups,
                           double eps) {
  return fused(x, {}, gain, bias, {groups, eps, false});
}

}  // namespace ganymede
