#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "models/gan/regularisers/ada.h"

namespace ganymede {

/// What each image draws, a number an image, and whether an operation is applied to it.
class AdaChoices {
 public:
  AdaChoices(const AdaDraws& draws, const at::Tensor& p)
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

}  // namespace ganymede
