#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "datasets/element_type.h"

namespace ganymede {

/// Averages an image [C, H, W] over factor x factor pixels, which must divide H and W; `out` has room for
/// [C, H / factor, W / factor]. Means of bytes are rounded, halves to even; others are computed in double.
void shrink_image(ElementType type, std::span<const std::byte> image, std::int64_t channels,
                  std::int64_t height, std::int64_t width, std::int64_t factor, std::byte* out);

}  // namespace ganymede
