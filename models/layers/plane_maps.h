#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <initializer_list>

namespace ganymede {

/// Matrices [N, 3, 3] that take places (x, y, 1) of a plane to others, each image's own: figures are [N].
struct PlaneMaps {
  at::Tensor zero, one;  ///< of the figures' shape and type
  explicit PlaneMaps(const at::Tensor& like) : zero(at::zeros_like(like)), one(at::ones_like(like)) {}

  at::Tensor identity() const { return scaled(one, one); }
  at::Tensor moved(const at::Tensor& right, const at::Tensor& down) const {
    return matrix({one, zero, right, zero, one, down, zero, zero, one});
  }
  at::Tensor scaled(const at::Tensor& x, const at::Tensor& y) const {
    return matrix({x, zero, zero, zero, y, zero, zero, zero, one});
  }
  /// From x towards y.
  at::Tensor turned(const at::Tensor& angle) const {
    const at::Tensor c = angle.cos(), s = angle.sin();
    return matrix({c, -s, zero, s, c, zero, zero, zero, one});
  }

 private:
  static at::Tensor matrix(std::initializer_list<at::Tensor> entries) {
    return at::stack(at::ArrayRef<at::Tensor>(entries), 1).view({-1, 3, 3});
  }
};

}  // namespace ganymede
