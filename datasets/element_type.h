#pragma once

#include <cstdint>
#include <string_view>

namespace ganymede {

/// How a dataset file stores one pixel value. All are little-endian.
enum class ElementType { uint8, float16, float32 };

/// Bytes of one value.
constexpr std::int64_t size_of(ElementType type) {
  return type == ElementType::uint8 ? 1 : type == ElementType::float16 ? 2 : 4;
}

/// "uint8", "float16", "float32".
constexpr std::string_view name_of(ElementType type) {
  return type == ElementType::uint8 ? "uint8" : type == ElementType::float16 ? "float16" : "float32";
}

}  // namespace ganymede
