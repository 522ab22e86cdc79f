#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <bit>
#include <cstdint>

/// Compiles a function once for each generation of vector units and picks one when the program starts. What
/// it calls must be GANYMEDE_INLINE, so that it is compiled along with it.
#define GANYMEDE_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define GANYMEDE_INLINE inline __attribute__((always_inline))

namespace ganymede::cpu {

/// What sums of T are kept in within a block.
template <class T>
struct Accumulator {
  using type = T;
};
template <>
struct Accumulator<c10::BFloat16> {
  using type = float;
};
template <>
struct Accumulator<c10::Half> {
  using type = float;
};
template <class T>
using accumulator_t = typename Accumulator<T>::type;

GANYMEDE_INLINE float load(const float* x) {
  return *x;
}
GANYMEDE_INLINE double load(const double* x) {
  return *x;
}
GANYMEDE_INLINE float load(const c10::BFloat16* x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x->x) << 16);
}
GANYMEDE_INLINE float load(const c10::Half* x) {
  return *x;
}

GANYMEDE_INLINE void store(float* x, float value) {
  *x = value;
}
GANYMEDE_INLINE void store(double* x, double value) {
  *x = value;
}
/// Rounds to nearest, ties to even; NaN stays NaN.
GANYMEDE_INLINE void store(c10::BFloat16* x, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  x->x = static_cast<std::uint16_t>(value != value ? 0x7fc0u : rounded);
}
GANYMEDE_INLINE void store(c10::Half* x, float value) {
  *x = value;
}

}  // namespace ganymede::cpu
