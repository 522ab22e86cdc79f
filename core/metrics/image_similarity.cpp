#include "core/metrics/image_similarity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::int64_t images_compared_at_once = 8;
constexpr std::int64_t values_compared_at_once = 1 << 20;  // some twenty times 8 bytes each
constexpr std::int64_t window_side = 11;
constexpr double window_sigma = 1.5;
constexpr std::array scale_weights{0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

std::vector<double> gaussian_window(std::int64_t side) {
  const double sigma = window_sigma * static_cast<double>(side) / window_side;
  std::vector<double> window;
  double sum = 0;
  for (std::int64_t i = 0; i < side; ++i) {
    const double x = static_cast<double>(i) - 0.5 * static_cast<double>(side - 1);
    window.push_back(std::exp(-x * x / (2 * sigma * sigma)));
    sum += window.back();
  }
  for (double& weight : window) weight /= sum;
  return window;
}

/// The weighted mean under the window along one axis, where the window fits.
at::Tensor filter_along(const at::Tensor& x, std::int64_t axis) {
  const std::vector<double> window = gaussian_window(std::min(window_side, x.size(axis)));
  const std::int64_t side = static_cast<std::int64_t>(window.size()), places = x.size(axis) - side + 1;
  at::Tensor sum = x.narrow(axis, 0, places).mul(window[0]);
  for (std::int64_t i = 1; i < side; ++i)
    sum.add_(x.narrow(axis, i, places), window[static_cast<std::size_t>(i)]);
  return sum;
}

at::Tensor filter(const at::Tensor& x) {
  return filter_along(filter_along(x, 2), 3);
}

/// Means over channels and window places [n]: of luminance times contrast-structure, and of the latter alone.
struct Similarity {
  at::Tensor whole;
  at::Tensor contrast_structure;
};

Similarity similarity(const at::Tensor& a, const at::Tensor& b, double range) {
  const double c1 = std::pow(0.01 * range, 2), c2 = std::pow(0.03 * range, 2);
  const at::Tensor mean_a = filter(a), mean_b = filter(b), product = mean_a * mean_b;
  const at::Tensor squares = mean_a.square() + mean_b.square();
  const at::Tensor covariance = filter(a * b) - product;
  const at::Tensor variances = filter(a.square() + b.square()) - squares;
  const at::Tensor contrast = (2 * covariance + c2) / (variances + c2);
  const at::Tensor luminance = (2 * product + c1) / (squares + c1);
  return {(luminance * contrast).mean({1, 2, 3}), contrast.mean({1, 2, 3})};
}

at::Tensor ms_ssim_of(at::Tensor a, at::Tensor b, double range) {
  at::Tensor result = at::ones({a.size(0)}, at::kDouble);
  for (std::size_t scale = 0; scale < scale_weights.size(); ++scale) {
    const bool coarsest = scale + 1 == scale_weights.size();
    const Similarity at_scale = similarity(a, b, range);
    const at::Tensor& term = coarsest ? at_scale.whole : at_scale.contrast_structure;
    result.mul_(term.clamp_min(0).pow(scale_weights[scale]));
    if (!coarsest) {
      a = at::avg_pool2d(a, {2, 2});
      b = at::avg_pool2d(b, {2, 2});
    }
  }
  return result;
}

/// Applies `measure` to a few images at a time, in float64.
at::Tensor by_parts(const at::Tensor& a, const at::Tensor& b,
                    const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& measure) {
  if (a.dim() != 4 || a.sizes() != b.sizes())
    fail(ExitCode::dataset, "images of {} and {}: both sides need the same count, channels and size",
         fmt::join(a.sizes(), " x "), fmt::join(b.sizes(), " x "));
  at::Tensor result = at::empty({a.size(0)}, at::kDouble);
  const std::int64_t values = std::max<std::int64_t>(1, a.size(1) * a.size(2) * a.size(3));
  const std::int64_t at_once =
      std::clamp<std::int64_t>(values_compared_at_once / values, 1, images_compared_at_once);
  for (std::int64_t begin = 0; begin < a.size(0); begin += at_once) {
    const std::int64_t count = std::min(at_once, a.size(0) - begin);
    const auto part = [&](const at::Tensor& images) {
      return images.narrow(0, begin, count).to(at::kDouble).contiguous();
    };
    result.narrow(0, begin, count).copy_(measure(part(a), part(b)));
  }
  return result;
}

}  // namespace

at::Tensor psnr(const at::Tensor& a, const at::Tensor& b, double range) {
  return by_parts(a, b, [&](const at::Tensor& x, const at::Tensor& y) {
    return (range * range / (x - y).square().mean({1, 2, 3})).log10().mul(10);
  });
}

at::Tensor ssim(const at::Tensor& a, const at::Tensor& b, double range) {
  return by_parts(a, b,
                  [&](const at::Tensor& x, const at::Tensor& y) { return similarity(x, y, range).whole; });
}

at::Tensor ms_ssim(const at::Tensor& a, const at::Tensor& b, double range) {
  if (a.dim() == 4 && std::min(a.size(2), a.size(3)) < 16)
    fail(ExitCode::options, "MS-SSIM of {} x {} pixels: five scales need at least 16 on each side", a.size(2),
         a.size(3));
  return by_parts(a, b, [&](const at::Tensor& x, const at::Tensor& y) { return ms_ssim_of(x, y, range); });
}

at::Tensor draw_pairs(const RandomKey& key, std::int64_t count, std::int64_t pairs) {
  if (count < 2) fail(ExitCode::options, "pairs of {} images: at least two are needed", count);
  RandomKey second_key = key;
  second_key.sub_step += 1;
  const at::Tensor first = RandomStream(key).integers(0, pairs, count);
  const at::Tensor step = RandomStream(second_key).integers(0, pairs, count - 1);
  return at::stack({first, (first + step + 1).remainder(count)}, 1);
}

}  // namespace ganymede
