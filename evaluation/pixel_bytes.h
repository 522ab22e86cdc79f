#pragma once

#include <ATen/core/Tensor.h>

#include "datasets/picture.h"
#include "datasets/pixel_values.h"
#include "datasets/value_range.h"

namespace ganymede {

/// Stored images of one shape, of bytes or real numbers, as the bytes that scores are computed of: real
/// values in [low, high] become x in [-1, 1], then x * 127.5 + 128, clamped to [0, 255], truncated.
class PixelBytes {
 public:
  PixelBytes(Picture shape, ValueRange range);

  /// Memory for `count` images: uint8 [count, C, H, W].
  at::Tensor empty(std::int64_t count) const;
  /// Planes [C, H, W] as stored into `image` uint8 [C, H, W]. Throws Error(dataset) naming `where` for a
  /// value outside the range.
  void convert(std::span<const std::byte> planes, std::string_view where, const at::Tensor& image) const;

 private:
  Picture shape_;
  PixelValues values_;
};

}  // namespace ganymede
