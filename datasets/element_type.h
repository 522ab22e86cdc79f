#pragma once

#include <c10/util/Half.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace ganymede {

/// How a dataset file stores one value. All are little-endian; float64 are embeddings alone, int32 tokens alone.
enum class ElementType { uint8, float16, float32, float64, int32 };

/// Of pixels.
inline constexpr ElementType element_types[] = {ElementType::uint8, ElementType::float16,
                                                ElementType::float32};

/// "uint8", "float16", "float32", "float64", "int32".
constexpr std::string_view name_of(ElementType type) {
  switch (type) {
    case ElementType::uint8:
      return "uint8";
    case ElementType::float16:
      return "float16";
    case ElementType::float32:
      return "float32";
    case ElementType::float64:
      return "float64";
    case ElementType::int32:
      return "int32";
  }
  throw std::logic_error("no such element type");
}

/// The type of pixels of that name, if there is one.
constexpr std::optional<ElementType> element_type_named(std::string_view name) {
  for (const ElementType type : element_types)
    if (name_of(type) == name) return type;
  return std::nullopt;
}

/// Calls `visit` with a value of the C++ type that stores `type`, and returns its result.
template <class Visit>
constexpr auto with_type(ElementType type, const Visit& visit) {
  switch (type) {
    case ElementType::uint8:
      return visit(std::uint8_t{});
    case ElementType::float16:
      return visit(c10::Half{});
    case ElementType::float32:
      return visit(float{});
    case ElementType::float64:
      return visit(double{});
    case ElementType::int32:
      return visit(std::int32_t{});
  }
  throw std::logic_error("no such element type");
}

/// Bytes of one value.
constexpr std::int64_t size_of(ElementType type) {
  return with_type(type, [](auto value) { return static_cast<std::int64_t>(sizeof value); });
}

}  // namespace ganymede
