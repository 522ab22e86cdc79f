#include "models/layers/filter.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/resample.h"

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Resample : public torch::autograd::Function<Resample> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const AxisResampling& rows,
                            const AxisResampling& columns) {
    keep(context, "rows", rows, x.size(2));
    keep(context, "columns", columns, x.size(3));
    return resample(x, rows, columns);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {apply(gradients[0], kept(context, "rows"), kept(context, "columns")), {}, {}};
  }

 private:
  /// The adjoint: up and down change places, and so do the filter's two ends.
  static void keep(AutogradContext* context, const std::string& name, const AxisResampling& axis,
                   std::int64_t inputs) {
    context->saved_data[name] = std::vector<std::int64_t>{axis.down, axis.up, 3 - axis.before, inputs};
    context->saved_data[name + " gain"] = axis.gain;
  }
  static AxisResampling kept(AutogradContext* context, const std::string& name) {
    const auto numbers = context->saved_data[name].toIntVector();
    return {numbers[0], numbers[1], numbers[2], numbers[3], context->saved_data[name + " gain"].toDouble()};
  }
};

}  // namespace

at::Tensor filtered(const at::Tensor& x, const Resampling& resampling) {
  const auto axis = [&](std::int64_t inputs) {
    const std::int64_t padded = resampling.up * inputs + resampling.before + resampling.after;
    return AxisResampling{resampling.up, resampling.down, resampling.before,
                          (padded - 4) / resampling.down + 1,
                          static_cast<double>(resampling.up) * resampling.gain};
  };
  return Resample::apply(x, axis(x.size(2)), axis(x.size(3)));
}

at::Tensor binomial_filtered(const at::Tensor& x) {
  // Means of neighbours, twice: first of one more position than there are, then of as many.
  return at::avg_pool2d(at::avg_pool2d(x, 2, 1, 1), 2, 1);
}

}  // namespace ganymede
