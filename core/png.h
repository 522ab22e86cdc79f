#pragma once

#include "core/image_file.h"

namespace ganymede {

/// The PNG half of decode_image: 8 bits a value, grey stays grey, palettes become RGB, alpha is dropped.
Pixels decode_png(std::span<const std::byte> file, std::string_view name);

/// A chunk of a PNG file: length, `type` (four letters), content, check sum.
std::string encode_png_chunk(std::string_view type, std::string_view content);

}  // namespace ganymede
