#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ganymede {

/// Converts an image of bytes [C, H, W] to floats [H, W, C], x to x / 127.5 - 1 rounded after each operation,
/// mirrored left to right if `flip`: in one pass, each row staying in the nearest cache between its steps.
/// False, with nothing done, where there is no fast way: for other than one or three channels, or on a
/// processor without AVX2.
bool convert_byte_rows(std::span<const std::byte> image, std::int64_t channels, std::int64_t height,
                       std::int64_t width, bool flip, float* out);

}  // namespace ganymede
