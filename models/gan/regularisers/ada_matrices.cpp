#include <ATen/ATen.h>

#include <numbers>
#include <vector>

#include "core/device.h"
#include "models/gan/regularisers/ada_choices.h"
#include "models/layers/plane_maps.h"

namespace ganymede {
namespace {

constexpr double pi = std::numbers::pi;
const double doubling = std::numbers::ln2;  // exp of it doubles

/// a(z) b(z), of filters that are centred: 2 n + 1 taps.
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> c(a.size() + b.size() - 1);
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b.size(); ++j) c[i + j] += a[i] * b[j];
  return c;
}

/// a(z^2).
std::vector<double> spread(const std::vector<double>& a) {
  std::vector<double> wide(2 * a.size() - 1);
  for (std::size_t i = 0; i < a.size(); ++i) wide[2 * i] = a[i];
  return wide;
}

constexpr std::size_t bands = 4;
/// Filters whose sum is 1, of the bands up to 1/8, 1/4, 1/2 and all of the highest frequency: 43 taps each, symmetric.
/// One half after the other is cut off by the symlet wavelet of 4 taps H: H(z) H(1/z) / 2 is its lower, and
/// H(-z) H(-1/z) / 2 its upper half.
std::vector<std::vector<double>> band_filters() {
  const std::vector<double> symlet{-0.12940952255126037, 0.2241438680420134, 0.8365163037378079,
                                   0.48296291314453416};
  std::vector<double> lower = product(symlet, {symlet.rbegin(), symlet.rend()});
  for (double& tap : lower) tap /= 2;
  std::vector<double> upper = lower;
  for (std::size_t i = 0; i < upper.size(); i += 2) upper[i] = -upper[i];
  std::vector<std::vector<double>> filters(bands, std::vector<double>{0});
  filters[0] = {1};
  for (std::size_t band = 1; band < bands; ++band) {
    for (std::vector<double>& filter : filters) filter = product(spread(filter), lower);
    const std::size_t rim = (filters[band].size() - upper.size()) / 2;
    for (std::size_t i = 0; i < upper.size(); ++i) filters[band][rim + i] += upper[i];
  }
  return filters;
}

/// These filters over a line of so many pixels, with its mirror image beyond both ends: [4, side, side].
at::Tensor band_matrices(std::int64_t side) {
  const auto filters = band_filters();
  const auto reach = static_cast<std::int64_t>(filters[0].size() / 2), period = 2 * (side - 1);
  at::Tensor matrices = at::zeros({static_cast<std::int64_t>(bands), side, side}, at::kDouble);
  auto entries = matrices.accessor<double, 3>();
  for (std::size_t band = 0; band < bands; ++band)
    for (std::int64_t to = 0; to < side; ++to)
      for (std::int64_t tap = -reach; tap <= reach; ++tap) {
        const std::int64_t beyond = std::abs(to + tap) % period;
        entries[static_cast<std::int64_t>(band)][to][std::min(beyond, period - beyond)] +=
            filters[band][static_cast<std::size_t>(reach + tap)];
      }
  return matrices;
}

}  // namespace

at::Tensor ada_geometry(const AdaOptions& options, const at::Tensor& p, const AdaDraws& draws,
                        std::int64_t side) {
  const AdaChoices choose(draws, p);
  const PlaneMaps maps(choose.u(0));
  const double pixels = static_cast<double>(side);
  at::Tensor inverse = maps.identity();
  // The inverse of the operation that comes next.
  const auto undo = [&](const at::Tensor& operation) { inverse = at::matmul(inverse, operation); };
  if (options.blitting) {
    const at::Tensor mirrored = choose.gated(0, (choose.u(1) * 2).floor());
    undo(maps.scaled(1 - 2 * mirrored, maps.one));
    undo(maps.turned(choose.gated(2, (choose.u(3) * 4).floor()) * (pi / 2)));
    const auto whole = [&](std::int64_t of) {
      return choose.gated(4, ((choose.u(of) * 2 - 1) * (0.125 * pixels)).round());
    };
    undo(maps.moved(-whole(5), -whole(6)));
  }
  if (options.geometry) {
    const at::Tensor scale = choose.gated(7, choose.n(0) * (0.2 * doubling)).exp();
    undo(maps.scaled(1 / scale, 1 / scale));
    undo(maps.turned(choose.gated_turn(8, (choose.u(9) * 2 - 1) * pi)));
    const at::Tensor stretch = choose.gated(10, choose.n(1) * (0.2 * doubling)).exp();
    undo(maps.scaled(1 / stretch, stretch));
    undo(maps.turned(choose.gated_turn(11, (choose.u(12) * 2 - 1) * pi)));
    const auto part = [&](std::int64_t of) { return choose.gated(13, choose.n(of) * (0.125 * pixels)); };
    undo(maps.moved(-part(2), -part(3)));
  }
  return inverse;
}

at::Tensor ada_colors(const at::Tensor& p, const AdaDraws& draws) {
  const AdaChoices choose(draws, p);
  const at::Tensor zero = at::zeros_like(choose.u(0)), one = at::ones_like(zero);
  const at::Tensor identity = at::eye(3, zero.options()).unsqueeze(0);
  // v v^T of the luma axis v = (1, 1, 1) / sqrt(3), and the cross product with v.
  const at::Tensor luma = at::full({1, 3, 3}, 1.0 / 3, zero.options());
  const at::Tensor across =
      at::tensor({0.0, -1.0, 1.0, 1.0, 0.0, -1.0, -1.0, 1.0, 0.0}, zero.options()).view({1, 3, 3}) /
      std::numbers::sqrt3;
  const auto each = [](const at::Tensor& amount) { return amount.view({-1, 1, 1}); };

  const at::Tensor brightness = choose.gated(14, choose.n(4) * 0.2);
  const at::Tensor contrast = choose.gated(15, choose.n(5) * (0.5 * doubling)).exp();
  const at::Tensor flipped = choose.gated(16, (choose.u(17) * 2).floor());
  at::Tensor linear = each(contrast) * (identity - each(2 * flipped) * luma);
  const at::Tensor hue = choose.gated(18, (choose.u(19) * 2 - 1) * pi);
  // Rodrigues' formula.
  const at::Tensor turn = luma + each(hue.cos()) * (identity - luma) + each(hue.sin()) * across;
  const at::Tensor saturation = choose.gated(20, choose.n(6) * doubling).exp();
  linear = at::matmul(luma + each(saturation) * (identity - luma), at::matmul(turn, linear));
  const at::Tensor offset = at::matmul(linear, each(brightness).expand({-1, 3, 1}));
  return at::cat({linear, offset}, 2);
}

at::Tensor ada_gains(const at::Tensor& p, const AdaDraws& draws) {
  const AdaChoices choose(draws, p);
  // What of a natural image's power lies in each band.
  const at::Tensor power = at::tensor({10.0, 1.0, 1.0, 1.0}, draws.uniform.options()) / 13;
  at::Tensor gains = at::ones({draws.uniform.size(0), static_cast<std::int64_t>(bands)}, power.options());
  for (std::int64_t band = 0; band < static_cast<std::int64_t>(bands); ++band) {
    at::Tensor each = at::ones_like(gains);
    each.select(1, band).copy_(choose.gated(21 + band, choose.n(7 + band) * doubling).exp());
    gains = gains * each / (each.square() * power).sum(1, /*keepdim=*/true).sqrt();
  }
  return gains;
}

at::Tensor ada_bands(const at::Tensor& gains, std::int64_t side) {
  const at::Tensor matrices = to_device(band_matrices(side).to(gains.scalar_type()), gains.device());
  return at::matmul(gains, matrices.flatten(1)).view({-1, side, side});
}

}  // namespace ganymede
