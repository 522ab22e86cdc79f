#include "datasets/byte_rows.h"

#include <vector>

namespace ganymede {

#if defined(__x86_64__)

namespace {

using Byte = std::uint8_t;

// Inlined into a function for the wider instructions, whose loops then vectorise.
#define GANYMEDE_ROW [[gnu::always_inline]] inline

GANYMEDE_ROW void reverse(const Byte* in, std::int64_t count, Byte* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = in[count - 1 - i];
}

GANYMEDE_ROW void interleave(const Byte* r, const Byte* g, const Byte* b, std::int64_t count,
                             Byte* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[3 * i] = r[i];
    out[3 * i + 1] = g[i];
    out[3 * i + 2] = b[i];
  }
}

/// Division by a constant, correctly rounded, without a division: of the product with the reciprocal, the
/// remainder tells the error (Markstein, IBM J. Res. Dev. 34, 1990). The test compares all 256 values.
GANYMEDE_ROW void to_floats(const Byte* in, std::int64_t count, float* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = in[i];
    const float quotient = x * (1 / 127.5f);
    const float remainder = __builtin_fmaf(-quotient, 127.5f, x);
    out[i] = __builtin_fmaf(remainder, 1 / 127.5f, quotient) - 1;
  }
}

#undef GANYMEDE_ROW

[[gnu::target("avx2,fma")]] void convert(const Byte* image, std::int64_t channels, std::int64_t height,
                                         std::int64_t width, bool flip, Byte* row, float* out) {
  Byte* const mirrored = row + channels * width;
  for (std::int64_t y = 0; y < height; ++y) {
    const Byte* planes[3];
    for (std::int64_t c = 0; c < channels; ++c) {
      planes[c] = image + (c * height + y) * width;
      if (!flip) continue;
      reverse(planes[c], width, mirrored + c * width);
      planes[c] = mirrored + c * width;
    }
    if (channels == 3) interleave(planes[0], planes[1], planes[2], width, row);
    to_floats(channels == 3 ? row : planes[0], channels * width, out + y * channels * width);
  }
}

}  // namespace

bool convert_byte_rows(std::span<const std::byte> image, std::int64_t channels, std::int64_t height,
                       std::int64_t width, bool flip, float* out) {
  static const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!able || (channels != 1 && channels != 3)) return false;
  thread_local std::vector<Byte> row;
  row.resize(static_cast<std::size_t>(2 * channels * width));
  convert(reinterpret_cast<const Byte*>(image.data()), channels, height, width, flip, row.data(), out);
  return true;
}

#else

bool convert_byte_rows(std::span<const std::byte>, std::int64_t, std::int64_t, std::int64_t, bool, float*) {
  return false;
}

#endif

}  // namespace ganymede
