#include "datasets/picture.h"

#include <cstring>

namespace ganymede {
namespace {

/// [rows, columns] to [columns, rows]: pixels by channels to channels by pixels, or back.
template <class Value>
void transpose(const std::byte* from, std::byte* to, std::int64_t rows, std::int64_t columns) {
  const auto* in = reinterpret_cast<const Value*>(from);
  auto* out = reinterpret_cast<Value*>(to);
  for (std::int64_t column = 0; column < columns; ++column)
    for (std::int64_t row = 0; row < rows; ++row) *out++ = in[row * columns + column];
}

void transpose(ElementType type, const std::byte* from, std::byte* to, std::int64_t rows,
               std::int64_t columns) {
  with_type(type, [&](auto stored) { transpose<decltype(stored)>(from, to, rows, columns); });
}

}  // namespace

void to_planes(const Picture& picture, std::span<std::byte> planes) {
  transpose(picture.type, picture.values.data(), planes.data(), picture.width * picture.height,
            picture.channels);
}

void from_planes(std::span<const std::byte> planes, Picture& picture) {
  picture.values.resize(planes.size());
  transpose(picture.type, planes.data(), picture.values.data(), picture.channels,
            picture.width * picture.height);
}

}  // namespace ganymede
