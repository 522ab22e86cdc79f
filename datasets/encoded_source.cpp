#include "datasets/encoded_source.h"

#include "core/image_file.h"

namespace ganymede {

Picture EncodedSource::decode(std::int64_t index, std::span<const std::byte> stored, int channels) const {
  const Pixels pixels = decode_image(stored, name_of_image(index), channels);
  const auto bytes = std::as_bytes(std::span(pixels.values));
  return {ElementType::uint8, pixels.width, pixels.height, pixels.channels, {bytes.begin(), bytes.end()}};
}

}  // namespace ganymede
