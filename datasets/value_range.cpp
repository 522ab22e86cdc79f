#include "datasets/value_range.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace ganymede {
namespace {

template <class Value, class Byte>
auto values_in(std::span<Byte> bytes) {
  using Stored = std::conditional_t<std::is_const_v<Byte>, const Value, Value>;
  return std::span(reinterpret_cast<Stored*>(bytes.data()), bytes.size() / sizeof(Value));
}

}  // namespace

ValueRange range_of(ElementType type, std::span<const std::byte> values) {
  return with_type(type, [&](auto stored) {
    float low = std::numeric_limits<float>::infinity();
    float high = -low;
    bool finite = true;
    for (const auto each : values_in<decltype(stored)>(values)) {
      const auto value = static_cast<float>(each);
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
  return with_type(type, [&](auto stored) {
    const auto rounded = [](double value) {
      return static_cast<float>(static_cast<decltype(stored)>(static_cast<float>(value)));
    };
    return ValueRange{rounded(range.low), rounded(range.high)};
  });
}

void clamp_values(ElementType type, std::span<std::byte> values, ValueRange range) {
  with_type(type, [&](auto stored) {
    using Stored = decltype(stored);
    for (Stored& value : values_in<Stored>(values))
      value = static_cast<Stored>(std::clamp(static_cast<float>(value), static_cast<float>(range.low),
                                             static_cast<float>(range.high)));
  });
}

}  // namespace ganymede
