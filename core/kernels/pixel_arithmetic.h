#pragma once

#include "core/kernels/portable.h"

namespace ganymede {

/// A stored byte as networks see it, in [-1, 1]; A is float or double.
template <class A>
GANYMEDE_PORTABLE A pixel_of_byte(int x) {
  return A(x) / A(127.5) - A(1);
}

}  // namespace ganymede
