#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {

/// e^x to 2 ulp, in operations that a vector unit has; beyond +-87 as at +-87. NaN passes.
GANYMEDE_INLINE float exponential(float x) {
  const float bounded = x < -87.0F ? -87.0F : (x > 87.0F ? 87.0F : x);
  // Added to a small number, leaves it rounded to a whole one in the lowest bits.
  constexpr float magic = 12582912.0F;
  const float shifted = bounded * 1.44269504F + magic;
  const float whole = shifted - magic;
  const float r = (bounded - whole * 0.693359375F) + whole * 2.12194440e-4F;  // ln 2 in two parts
  float p = 1.9875691500e-4F;  // the polynomial of Cephes' expf
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const std::uint32_t power = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000U;
  return p * std::bit_cast<float>(power);
}
GANYMEDE_INLINE double exponential(double x) {
  return std::exp(x);
}

}  // namespace ganymede::cpu
