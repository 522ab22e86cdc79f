#include "models/layers/image_warp.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numbers>
#include <vector>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Daubechies' least asymmetric wavelet of order 6, whose squares sum to 1.
const std::vector<double> symlet{0.015404109327027373, 0.0034907120842174702, -0.11799011114819057,
                                 -0.048311742585633,   0.4910559419267466,    0.787641141030194,
                                 0.3379294217276218,   -0.07263752278646252,  -0.021060292512300564,
                                 0.04472490177066578,  0.0017677118642428036, -0.007800708325034148};
constexpr std::int64_t rim = 6;  // pixels around the image, so that the filter sees it whole
constexpr double true_rim = 3;   // of these, pixels that the filter's result is right in
// Pixel i lies at 2 i + centre of the filtered image: the taps' mean place, for they are not quite symmetric.
constexpr double centre = 5.09826089954573;

/// x [M, 1, H, W] along rows and columns.
at::Tensor twice_as_large(at::Tensor x) {
  const at::Tensor taps = at::tensor(symlet, x.options()) * std::numbers::sqrt2;
  x = at::conv_transpose2d(x, taps.view({1, 1, -1, 1}), {}, {2, 1});
  return at::conv_transpose2d(x, taps.view({1, 1, 1, -1}), {}, {1, 2});
}

at::Tensor half_as_large(at::Tensor x) {
  const at::Tensor taps = at::tensor(symlet, x.options()) / std::numbers::sqrt2;
  x = at::conv2d(x, taps.view({1, 1, -1, 1}), {}, {2, 1});
  return at::conv2d(x, taps.view({1, 1, 1, -1}), {}, {1, 2});
}

/// Bilinear samples of images [N, C, H, W] at places [N, h, w, 2], all of which lie within. Linear in the images: the
/// gradient is its adjoint, whose own gradient samples again.
class Samples : public torch::autograd::Function<Samples> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& images, const at::Tensor& places);
  static variable_list backward(AutogradContext* context, variable_list gradients);
};

class Spread : public torch::autograd::Function<Spread> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& samples, const at::Tensor& places,
                            const std::vector<std::int64_t>& shape) {
    context->save_for_backward({places});
    const at::Tensor like = at::zeros(shape, samples.options());
    return std::get<0>(at::grid_sampler_2d_backward(samples.contiguous(), like, places, 0, 0,
                                                    /*align_corners=*/true, {true, false}));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {Samples::apply(gradients[0], context->get_saved_variables()[0]), {}, {}};
  }
};

at::Tensor Samples::forward(AutogradContext* context, const at::Tensor& images, const at::Tensor& places) {
  context->save_for_backward({places});
  context->saved_data["shape"] = images.sizes().vec();
  return at::grid_sampler_2d(images, places, 0, 0, /*align_corners=*/true);
}

variable_list Samples::backward(AutogradContext* context, variable_list gradients) {
  return {Spread::apply(gradients[0], context->get_saved_variables()[0],
                        context->saved_data["shape"].toIntVector()),
          {}};
}

/// Places in pixels of an image of `side`, those far beyond it by their mirror image's.
at::Tensor folded(const at::Tensor& places, std::int64_t side) {
  const double last = static_cast<double>(side - 1);
  const at::Tensor mirrored = last - (places.remainder(2 * last) - last).abs();
  const at::Tensor near = places.ge(-true_rim).logical_and(places.le(last + true_rim));
  return at::where(near, places, mirrored);
}

/// Where in the enlarged image each sample lies, as grid_sampler counts: [N, M, M, 2].
at::Tensor places_of(const at::Tensor& inverse, std::int64_t side, std::int64_t enlarged) {
  const double middle = static_cast<double>(side - 1) / 2;
  const std::int64_t samples = 2 * side + 10;  // what the filter needs to make `side` pixels
  const at::Tensor line = (at::arange(samples, inverse.options()) - centre) / 2 - middle;
  const at::Tensor x = line.view({1, 1, -1}), y = line.view({1, -1, 1});
  const auto along = [&](std::int64_t row) {
    const auto entry = [&](std::int64_t column) {
      return inverse.select(1, row).select(1, column).view({-1, 1, 1});
    };
    const at::Tensor pixels = folded(entry(0) * x + entry(1) * y + entry(2) + middle, side);
    const at::Tensor index = 2 * (pixels + rim) + centre;
    return index * (2 / static_cast<double>(enlarged - 1)) - 1;
  };
  return at::stack({along(0), along(1)}, 3);
}

}  // namespace

at::Tensor warped(const at::Tensor& images, const at::Tensor& inverse) {
  const std::int64_t count = images.size(0), channels = images.size(1), side = images.size(2);
  const at::Tensor planes = images.reshape({count * channels, 1, side, side});
  at::Tensor x = twice_as_large(at::reflection_pad2d(planes, {rim, rim, rim, rim}));
  const std::int64_t enlarged = x.size(2);
  x = Samples::apply(x.view({count, channels, enlarged, enlarged}),
                     places_of(inverse.detach(), side, enlarged));
  x = half_as_large(x.reshape({count * channels, 1, x.size(2), x.size(3)}));
  return x.view({count, channels, side, side});
}

}  // namespace ganymede
