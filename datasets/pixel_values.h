#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "datasets/element_type.h"

namespace ganymede {

/// Turns stored pixel values into what networks see: [low, high] becomes [-1, 1].
class PixelValues {
 public:
  /// Values that leave [low, high] by no more than the rounding of the bounds to `type` are taken as the
  /// bounds.
  PixelValues(ElementType type, double low, double high);

  /// The place of the first value in `bytes` that is no number or lies outside the range, or -1.
  std::int64_t first_bad(std::span<const std::byte> bytes) const;
  /// One value of `bytes`, as stored.
  double value(std::span<const std::byte> bytes, std::int64_t index) const;

  /// Converts one image from its stored layout [C, H, W] to `out`, memory of [H, W, C] (channels_last) of
  /// `dtype` (float, double, half or bfloat16); mirrored left to right if `flip`. uint8 x becomes
  /// x / 127.5 - 1, computed in float for half and bfloat16 and in `dtype` otherwise; a real value becomes
  /// 2 (x - low) / (high - low) - 1, in double.
  void convert(std::span<const std::byte> bytes, std::int64_t channels, std::int64_t height,
               std::int64_t width, bool flip, at::ScalarType dtype, void* out) const;

 private:
  ElementType type_;
  double low_, high_;
  double smallest_, largest_;
};

}  // namespace ganymede
