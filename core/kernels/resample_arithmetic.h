#pragma once

#include "core/kernels/portable.h"

namespace ganymede {

/// The filter of core/resample.h, (1, 3, 3, 1) / 8.
constexpr int filter_taps = 4;
template <class I>
GANYMEDE_PORTABLE double filter_tap(I tap) {
  return tap == 0 || tap == filter_taps - 1 ? 0.125 : 0.375;
}

/// What of an axis' input one output value is made of: the filter's taps tap + k up lie on the inputs first + k, for k
/// from begin to end, which may be none. `first` counts from where input 0 would be, and may be negative.
template <class I>
struct AxisTaps {
  I tap, first, begin, end;
};

/// Of output number `out` of an axis of `inputs` values (AxisResampling).
template <class I>
GANYMEDE_PORTABLE AxisTaps<I> axis_taps(I up, I down, I before, I inputs, I out) {
  const I start = out * down - before;   // where tap 0 lies among values and zeros
  const I tap = (up - start % up) % up;  // the first that lies on a value, whose place up divides
  const I first = (start + tap) / up;
  const I taps = (filter_taps - tap + up - 1) / up;
  return {tap, first, first < 0 ? -first : I(0), taps < inputs - first ? taps : inputs - first};
}

}  // namespace ganymede
