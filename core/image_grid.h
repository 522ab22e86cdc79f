#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

namespace ganymede {

/// Floating point images in [-1, 1] as bytes: x * 127.5 + 128, clamped to [0, 255], truncated. Same shape, on
/// the same device. What is not a number becomes 0.
at::Tensor to_bytes(const at::Tensor& images);

/// Throws Error(options), naming the count that fits, if a sheet of `count` images of `height` x `width`
/// pixels, `columns` a row, has more pixels than a PNG may (most_pixels). For where options are read.
void check_grid(std::int64_t count, std::int64_t columns, std::int64_t height, std::int64_t width);

/// Writes `images` [N, C, H, W], N >= 1 (bytes, or floating point in [-1, 1]), as one PNG: `columns` a row,
/// in order, 2 white pixels around each. One channel is grey, three are RGB; of any other number the first
/// (C = 2) or the first three are shown. Small images are enlarged by a whole factor, each pixel repeated, to
/// a sheet of at most 1200 pixels' width and 2400 pixels' height. Durable, as write_png. Throws what
/// check_grid does.
void write_grid(const std::filesystem::path& path, const at::Tensor& images, std::int64_t columns);

}  // namespace ganymede
