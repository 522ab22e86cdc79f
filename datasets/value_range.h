#pragma once

#include <cstddef>
#include <span>

#include "datasets/element_type.h"

namespace ganymede {

/// The values that stand for -1 and 1.
struct ValueRange {
  double low = 0;
  double high = 255;
};

/// Smallest and largest of at least one value; not a number as soon as one value is not finite.
ValueRange range_of(ElementType type, std::span<const std::byte> values);

/// The range with both ends rounded to a value that the type can hold.
ValueRange rounded_to(ElementType type, ValueRange range);

/// Moves values outside the range, whose ends the type can hold, to its nearer end.
void clamp_values(ElementType type, std::span<std::byte> values, ValueRange range);

}  // namespace ganymede
