#pragma once

#include "core/image_file.h"

namespace ganymede {

/// The PNG half of decode_image: 8 bits a value, grey stays grey, palettes become RGB, alpha is dropped.
Pixels decode_png(std::span<const std::byte> file, std::string_view name);

}  // namespace ganymede
