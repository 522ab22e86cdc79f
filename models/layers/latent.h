#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/erf.h>

#include <numbers>

namespace ganymede {

/// Standard normal numbers as numbers that are uniform in (-1, 1): where a paper draws z that way.
inline at::Tensor uniform_of_normal(const at::Tensor& z) {
  return at::erf(z / std::numbers::sqrt2);
}

}  // namespace ganymede
