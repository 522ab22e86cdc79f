#include "datasets/value_range.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ganymede {
namespace {

/// Calls `function` with the values as a span of their type.
template <class Bytes, class Function>
auto with_type(ElementType type, std::span<Bytes> bytes, Function function) {
  const auto as = [&]<class Value>(Value*) {
    return function(std::span(reinterpret_cast<Value*>(bytes.data()), bytes.size() / sizeof(Value)));
  };
  constexpr bool constant = std::is_const_v<Bytes>;
  switch (type) {
    case ElementType::uint8:
      return as(static_cast<std::conditional_t<constant, const std::uint8_t, std::uint8_t>*>(nullptr));
    case ElementType::float16:
      return as(static_cast<std::conditional_t<constant, const c10::Half, c10::Half>*>(nullptr));
    default:
      return as(static_cast<std::conditional_t<constant, const float, float>*>(nullptr));
  }
}

}  // namespace

ValueRange range_of(ElementType type, std::span<const std::byte> values) {
  return with_type(type, values, [](auto typed) {
    float low = std::numeric_limits<float>::infinity();
    float high = -low;
    bool finite = true;
    for (const float value : typed) {
      finite &= std::isfinite(value);
      low = std::min(low, value);
      high = std::max(high, value);
    }
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    return finite ? ValueRange{low, high} : ValueRange{none, none};
  });
}

ValueRange rounded_to(ElementType type, ValueRange range) {
  if (type == ElementType::uint8) return range;
  const auto rounded = [&](double value) {
    const auto single = static_cast<float>(value);
    return type == ElementType::float16 ? static_cast<float>(c10::Half(single)) : single;
  };
  return {rounded(range.low), rounded(range.high)};
}

void clamp_values(ElementType type, std::span<std::byte> values, ValueRange range) {
  with_type(type, values, [&](auto typed) {
    for (auto& value : typed)
      value = static_cast<std::remove_reference_t<decltype(value)>>(std::clamp(
          static_cast<float>(value), static_cast<float>(range.low), static_cast<float>(range.high)));
  });
}

}  // namespace ganymede
