#pragma once

#include "core/image_file.h"

namespace ganymede {

/// The JPEG half of decode_image: grey stays grey, YCbCr, RGB, CMYK and YCCK become RGB.
Pixels decode_jpeg(std::span<const std::byte> file, std::string_view name);

}  // namespace ganymede
