#include "models/diffusion/augmentation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/device.h"
#include "models/layers/image_warp.h"
#include "models/layers/plane_maps.h"

namespace ganymede {
namespace {

constexpr double pi = std::numbers::pi, strength = 0.2;  // of scale and stretch, as powers of two

at::Tensor power_of_two(const at::Tensor& n) {
  return (n * (strength * std::numbers::ln2)).exp();
}

}  // namespace

at::Tensor augmented_by(const at::Tensor& images, const at::Tensor& figures) {
  const auto figure = [&](std::int64_t column) { return figures.select(1, column); };
  // Not by the warp, whose filters are not symmetric.
  const auto mirrored = [&](const at::Tensor& x, std::int64_t axis, const at::Tensor& where) {
    return at::where(where.to(at::kBool).view({-1, 1, 1, 1}), x.flip({axis}), x);
  };
  const at::Tensor x = mirrored(mirrored(images, 3, figure(0)), 2, figure(1));

  const PlaneMaps maps(figure(0));
  at::Tensor inverse = maps.identity();
  // The inverse of the operation that comes next.
  const auto undo = [&](const at::Tensor& operation) { inverse = at::matmul(inverse, operation); };
  const at::Tensor smaller = power_of_two(-figure(2));
  undo(maps.scaled(smaller, smaller));
  undo(maps.turned(-at::atan2(figure(4), figure(3) + 1)));
  const at::Tensor stretch = at::hypot(figure(5), figure(6)), direction = at::atan2(figure(6), figure(5));
  undo(maps.turned(direction));
  undo(maps.scaled(power_of_two(-stretch), power_of_two(stretch)));
  undo(maps.turned(-direction));
  const double unit = static_cast<double>(images.size(2)) / 8;
  undo(maps.moved(-unit * figure(7), -unit * figure(8)));
  return warped(x, inverse);
}

Augmented augmented(const at::Tensor& images, double p, const RandomKey& key, std::int64_t first) {
  const auto drawn = [&](const char* stream) {
    RandomKey own = key;
    own.stream = stream;
    return RandomStream(own);
  };
  const std::int64_t count = images.size(0);
  const at::Tensor uniform = drawn("augmentation.uniform").uniform(first, count, 9, at::kDouble);
  const at::Tensor normal = drawn("augmentation.normal").normal(first, count, 4, at::kDouble);
  const auto u = [&](std::int64_t column) { return uniform.select(1, column); };
  const auto n = [&](std::int64_t column) { return normal.select(1, column); };
  const auto gated = [&](std::int64_t column, const at::Tensor& amount) { return amount * (u(column) < p); };
  const at::Tensor turn = gated(4, (u(5) * 2 - 1) * pi), stretch = gated(6, n(1).abs()), direction = (u(7) * 2 - 1) * pi;
  const at::Tensor drawn_figures =
      at::stack({(u(0) * 2).floor(), gated(1, (u(2) * 2).floor()), gated(3, n(0)), turn.cos() - 1, turn.sin(),
                 stretch * direction.cos(), stretch * direction.sin(), gated(8, n(2)), gated(8, n(3))},
                1);
  const at::Tensor figures = to_device(drawn_figures.to(images.scalar_type()), images.device());
  return {augmented_by(images, figures), figures};
}

}  // namespace ganymede
