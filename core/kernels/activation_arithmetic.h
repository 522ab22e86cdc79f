#pragma once

#include <limits>

#include "core/kernels/portable.h"

namespace ganymede {

/// The leaky ReLU of core/activation.h, one element at a time, in the accumulator's type A.
template <class A>
struct ActivationScales {
  A above, below;  ///< what positive and other values are multiplied by
  A bound;         ///< NaN for none, which no number reaches
};

template <class A>
ActivationScales<A> activation_scales(double slope, double gain, double bound) {
  return {static_cast<A>(gain), static_cast<A>(gain * slope),
          bound > 0 ? static_cast<A>(bound) : std::numeric_limits<A>::quiet_NaN()};
}

template <class A>
GANYMEDE_PORTABLE A activated(A x, const ActivationScales<A>& scales) {
  const A y = x * (x > 0 ? scales.above : scales.below);
  return y > scales.bound ? scales.bound : (y < -scales.bound ? -scales.bound : y);
}

/// g times the derivative where the result is y.
template <class A>
GANYMEDE_PORTABLE A activation_gradient(A g, A y, const ActivationScales<A>& scales) {
  const bool bounded = y >= scales.bound || y <= -scales.bound;
  return bounded ? A(0) : g * (y > 0 ? scales.above : scales.below);
}

}  // namespace ganymede
