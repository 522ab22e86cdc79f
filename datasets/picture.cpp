#include "datasets/picture.h"

#include <cstring>

#include "core/error.h"
#include "core/image_file.h"

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

Picture with_channels(Picture picture, int channels) {
  if (channels == 0 || channels == picture.channels) return picture;
  if (picture.type != ElementType::uint8 || (picture.channels != 1 && picture.channels != 3))
    fail(ExitCode::options, "--channels converts grey and RGB bytes, not {} channels of {}: leave it out",
         picture.channels, name_of(picture.type));
  Pixels pixels{picture.width, picture.height, picture.channels, {}};
  const auto* values = reinterpret_cast<const std::uint8_t*>(picture.values.data());
  pixels.values.assign(values, values + picture.values.size());
  pixels = convert_channels(std::move(pixels), channels);
  const auto bytes = std::as_bytes(std::span(pixels.values));
  picture.channels = channels;
  picture.values.assign(bytes.begin(), bytes.end());
  return picture;
}

void to_planes(const Picture& picture, std::span<std::byte> planes) {
  to_planes(picture.type, picture.channels, picture.values, planes);
}

void to_planes(ElementType type, std::int64_t channels, std::span<const std::byte> interleaved,
               std::span<std::byte> planes) {
  const auto values = static_cast<std::int64_t>(interleaved.size()) / size_of(type);
  transpose(type, interleaved.data(), planes.data(), values / channels, channels);
}

void from_planes(std::span<const std::byte> planes, Picture& picture) {
  picture.values.resize(planes.size());
  transpose(picture.type, planes.data(), picture.values.data(), picture.channels,
            picture.width * picture.height);
}

}  // namespace ganymede
