#include "models/layers/modulated.h"

#include <ATen/ATen.h>

#include "models/layers/convolution.h"
#include "models/layers/filter.h"

namespace ganymede {

ModulatedConv2d::ModulatedConv2d(const ModulatedConvOptions& options)
    : Weighted({options.out, options.in, options.kernel, options.kernel}, {.equalised = true}),
      options_(options) {
  affine_ = register_module(
      "affine",
      std::make_shared<Linear>(options.style, options.in, WeightOptions{.equalised = true, .bias_start = 1}));
}

at::Tensor ModulatedConv2d::forward(const at::Tensor& x, const at::Tensor& w) {
  const at::ScalarType type = x.scalar_type();
  const at::Tensor style = affine_->forward(w.to(weight().scalar_type()));  // [N, in]
  at::Tensor y = x * style.to(type).unsqueeze(2).unsqueeze(3);
  const at::Tensor kernel = effective_weight(type);
  if (options_.upsample) {
    y = at::conv_transpose2d(y, kernel.transpose(0, 1), {}, 2);  // [N, out, 2 H + 1, 2 W + 1]
    y = filtered(y, {.before = 1, .after = 1, .gain = 2});
  } else {
    y = convolution(y, kernel, {}, 1, options_.kernel / 2);
  }
  if (!options_.demodulate) return y;
  const double fan_in = static_cast<double>(options_.in * options_.kernel * options_.kernel);
  const at::Tensor squares = weight().square().sum({2, 3}) / fan_in;  // [out, in]
  const at::Tensor scale = at::rsqrt(at::mm(style.square(), squares.t()) + 1e-8);
  return y * scale.to(type).unsqueeze(2).unsqueeze(3);
}

}  // namespace ganymede
