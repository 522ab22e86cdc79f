#include <ATen/ATen.h>

#include <initializer_list>
#include <numbers>

#include "models/gan/regularisers/ada.h"

namespace ganymede {
namespace {

constexpr double pi = std::numbers::pi;
const double doubling = std::numbers::ln2;  // exp of it doubles

/// One draw of all images, and 0 and 1 of its shape.
struct Column {
  at::Tensor zero, one;
  explicit Column(const at::Tensor& like) : zero(at::zeros_like(like)), one(at::ones_like(like)) {}

  at::Tensor matrix(std::int64_t size, std::initializer_list<at::Tensor> entries) const {
    return at::stack(at::ArrayRef<at::Tensor>(entries), 1).view({-1, size, size});
  }
  at::Tensor moved(const at::Tensor& right, const at::Tensor& down) const {
    return matrix(3, {one, zero, right, zero, one, down, zero, zero, one});
  }
  at::Tensor scaled(const at::Tensor& x, const at::Tensor& y) const {
    return matrix(3, {x, zero, zero, zero, y, zero, zero, zero, one});
  }
  at::Tensor turned(const at::Tensor& angle) const {
    const at::Tensor c = angle.cos(), s = angle.sin();
    return matrix(3, {c, -s, zero, s, c, zero, zero, zero, one});
  }
};

/// What each image draws, and 1 or 0 for whether an operation is applied to it.
class Choices {
 public:
  Choices(const AdaDraws& draws, const at::Tensor& p)
      : draws_(draws), p_(p.to(draws.uniform.scalar_type())) {}
  at::Tensor u(std::int64_t column) const { return draws_.uniform.select(1, column); }
  at::Tensor n(std::int64_t column) const { return draws_.normal.select(1, column); }
  /// `amount` where the operation of that column is applied, else 0.
  at::Tensor gated(std::int64_t column, const at::Tensor& amount) const {
    return at::where(u(column) < p_, amount, at::zeros_like(amount));
  }
  /// The same of turns, of which there are two: 1 - (1 - p_rot)^2 = p.
  at::Tensor gated_turn(std::int64_t column, const at::Tensor& amount) const {
    return at::where(u(column) < 1 - (1 - p_).clamp_min(0).sqrt(), amount, at::zeros_like(amount));
  }

 private:
  const AdaDraws& draws_;
  at::Tensor p_;
};

}  // namespace

at::Tensor ada_geometry(const AdaOptions& options, const at::Tensor& p, const AdaDraws& draws,
                        std::int64_t side) {
  const Choices choose(draws, p);
  const Column column(choose.u(0));
  const double pixels = static_cast<double>(side);
  at::Tensor inverse = column.scaled(column.one, column.one);
  // The inverse of the operation that comes next.
  const auto undo = [&](const at::Tensor& operation) { inverse = at::matmul(inverse, operation); };
  if (options.blitting) {
    const at::Tensor mirrored = choose.gated(0, (choose.u(1) * 2).floor());
    undo(column.scaled(1 - 2 * mirrored, column.one));
    undo(column.turned(choose.gated(2, (choose.u(3) * 4).floor()) * (pi / 2)));
    const auto whole = [&](std::int64_t of) {
      return choose.gated(4, ((choose.u(of) * 2 - 1) * (0.125 * pixels)).round());
    };
    undo(column.moved(-whole(5), -whole(6)));
  }
  if (options.geometry) {
    const at::Tensor scale = choose.gated(7, choose.n(0) * (0.2 * doubling)).exp();
    undo(column.scaled(1 / scale, 1 / scale));
    undo(column.turned(choose.gated_turn(8, (choose.u(9) * 2 - 1) * pi)));
    const at::Tensor stretch = choose.gated(10, choose.n(1) * (0.2 * doubling)).exp();
    undo(column.scaled(1 / stretch, stretch));
    undo(column.turned(choose.gated_turn(11, (choose.u(12) * 2 - 1) * pi)));
    const auto part = [&](std::int64_t of) { return choose.gated(13, choose.n(of) * (0.125 * pixels)); };
    undo(column.moved(-part(2), -part(3)));
  }
  return inverse;
}

at::Tensor ada_colors(const at::Tensor& p, const AdaDraws& draws) {
  const Choices choose(draws, p);
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

}  // namespace ganymede
