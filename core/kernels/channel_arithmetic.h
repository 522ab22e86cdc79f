#pragma once

#include <cmath>

#include "core/kernels/portable.h"

namespace ganymede {

/// What a channel's value x becomes in the passes of core/channel_passes.h, one element at a time, in the
/// accumulator's type A. `floor` is 0 with a ReLU and -infinity without.

template <class A>
GANYMEDE_PORTABLE A floor_of(bool relu) {
  return relu ? A(0) : -static_cast<A>(INFINITY);
}

/// max(x scale + shift, floor), written so that NaN passes.
template <class A>
GANYMEDE_PORTABLE A scale_shift(A x, A scale, A shift, A floor) {
  const A value = x * scale + shift;
  return value < floor ? floor : value;
}

/// g', its gradient: g where that maximum is the first argument, else 0.
template <class A>
GANYMEDE_PORTABLE A masked_gradient(A g, A x, A scale, A shift, A floor) {
  return x * scale + shift > floor ? g : A(0);
}

/// g' scale + x slope + constant.
template <class A>
GANYMEDE_PORTABLE A input_gradient(A masked, A x, A scale, A slope, A constant) {
  return masked * scale + (x * slope + constant);
}

/// Sums of x - pivot and of its square over `count` values, as those of x and of x^2.
GANYMEDE_PORTABLE void move_sums(double pivot, double count, double& sum, double& square) {
  square += pivot * (2 * sum + pivot * count);
  sum += pivot * count;
}

}  // namespace ganymede
