#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/element_type.h"

namespace ganymede {

/// One image of any element type and number of channels, interleaved: value (y, x, c) is number
/// (y * width + x) * channels + c of `values`, little-endian.
struct Picture {
  ElementType type = ElementType::uint8;
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;
  std::vector<std::byte> values = {};

  std::int64_t bytes() const { return width * height * channels * size_of(type); }
};

/// The same image with 1 or 3 channels; 0 keeps them. Throws Error(options) where that takes more than
/// turning grey bytes into RGB or back.
Picture with_channels(Picture picture, int channels);

/// The same image as planes [C, H, W], the layout of a dataset file. `planes` holds picture.bytes() bytes.
void to_planes(const Picture& picture, std::span<std::byte> planes);

/// The same of the bare values of an image with that many channels.
void to_planes(ElementType type, std::int64_t channels, std::span<const std::byte> interleaved,
               std::span<std::byte> planes);

/// The reverse, from planes of the shape and type that `picture` names, into its `values`.
void from_planes(std::span<const std::byte> planes, Picture& picture);

}  // namespace ganymede
