#include "datasets/pixel_values.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "core/kernels/pixel_arithmetic.h"
#include "datasets/byte_rows.h"

namespace ganymede {
namespace {

template <class Stored>
double load(const std::byte* bytes, std::int64_t index) {
  Stored value;
  std::memcpy(&value, bytes + index * static_cast<std::int64_t>(sizeof(Stored)), sizeof value);
  return static_cast<double>(
      static_cast<std::conditional_t<std::is_same_v<Stored, at::Half>, float, Stored>>(value));
}

template <class Out>
std::array<Out, 256> byte_table() {
  using Work = std::conditional_t<std::is_same_v<Out, double>, double, float>;
  std::array<Out, 256> table;
  for (int x = 0; x < 256; ++x) table[static_cast<std::size_t>(x)] = static_cast<Out>(pixel_of_byte<Work>(x));
  return table;
}

struct Shape {
  std::int64_t channels, height, width;
};

/// out[y, x, c] = map(index of [c, y, x or its mirror]). `Channels` is C where the compiler is to unroll it,
/// else 0.
template <int Channels, class Out, class Map>
void transpose(const Shape& shape, bool flip, Out* out, const Map& map) {
  const std::int64_t channels = Channels > 0 ? Channels : shape.channels;
  const std::int64_t plane = shape.height * shape.width, step = flip ? -1 : 1;
  for (std::int64_t y = 0; y < shape.height; ++y) {
    std::int64_t in = y * shape.width + (flip ? shape.width - 1 : 0);
    for (std::int64_t x = 0; x < shape.width; ++x, in += step)
      for (std::int64_t c = 0; c < channels; ++c) *out++ = map(c * plane + in);
  }
}

template <class Out, class Map>
void transpose(const Shape& shape, bool flip, Out* out, const Map& map) {
  if (shape.channels == 1) return transpose<1>(shape, flip, out, map);
  if (shape.channels == 3) return transpose<3>(shape, flip, out, map);
  return transpose<0>(shape, flip, out, map);
}

}  // namespace

PixelValues::PixelValues(ElementType type, double low, double high)
    : type_(type), low_(low), high_(high), smallest_(low), largest_(high) {
  with_type(type, [&](auto stored) {
    using Stored = decltype(stored);
    if constexpr (!std::is_same_v<Stored, std::uint8_t>) {
      smallest_ = std::min(low, static_cast<double>(static_cast<float>(static_cast<Stored>(low))));
      largest_ = std::max(high, static_cast<double>(static_cast<float>(static_cast<Stored>(high))));
    }
  });
}

std::int64_t PixelValues::first_bad(std::span<const std::byte> bytes) const {
  if (type_ == ElementType::uint8) return -1;
  return with_type(type_, [&](auto stored) -> std::int64_t {
    using Stored = decltype(stored);
    const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(Stored));
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = load<Stored>(bytes.data(), i);
      if (!(value >= smallest_ && value <= largest_)) return i;
    }
    return -1;
  });
}

double PixelValues::value(std::span<const std::byte> bytes, std::int64_t index) const {
  return with_type(type_, [&](auto stored) { return load<decltype(stored)>(bytes.data(), index); });
}

void PixelValues::convert(std::span<const std::byte> bytes, std::int64_t channels, std::int64_t height,
                          std::int64_t width, bool flip, at::ScalarType dtype, void* out) const {
  if (type_ == ElementType::uint8 && dtype == at::kFloat &&
      convert_byte_rows(bytes, channels, height, width, flip, static_cast<float*>(out)))
    return;
  const Shape shape{channels, height, width};
  const auto convert_to = [&]<class Out>(Out* typed) {
    with_type(type_, [&](auto stored) {
      using Stored = decltype(stored);
      if constexpr (std::is_same_v<Stored, std::uint8_t>) {
        static const std::array<Out, 256> table = byte_table<Out>();
        const std::byte* in = bytes.data();
        transpose(shape, flip, typed,
                  [in](std::int64_t i) { return table[static_cast<std::size_t>(in[i])]; });
      } else {
        const double low = low_, scale = 2 / (high_ - low_);
        const std::byte* in = bytes.data();
        transpose(shape, flip, typed, [=](std::int64_t i) {
          const double value = (load<Stored>(in, i) - low) * scale - 1;
          return static_cast<Out>(std::clamp(value, -1.0, 1.0));
        });
      }
    });
  };
  switch (dtype) {
    case at::kFloat:
      return convert_to(static_cast<float*>(out));
    case at::kDouble:
      return convert_to(static_cast<double*>(out));
    case at::kHalf:
      return convert_to(static_cast<at::Half*>(out));
    case at::kBFloat16:
      return convert_to(static_cast<at::BFloat16*>(out));
    default:
      TORCH_CHECK(false, "pixel values have no conversion to ", dtype);
  }
}

}  // namespace ganymede
