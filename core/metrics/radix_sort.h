#pragma once

#include <span>

namespace ganymede {

/// Sorts numbers (no NaN) in place, ascending, -0 before 0: three passes of 11 bits, and twice the memory
/// again. For the millions of numbers of a slice this is several times as fast as std::sort.
void radix_sort(std::span<float> values);

}  // namespace ganymede
