#include "datasets/shrink.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace ganymede {
namespace {

template <class Stored>
void shrink(const std::byte* image, std::int64_t rows, std::int64_t width, std::int64_t factor,
            std::byte* out) {
  constexpr std::size_t size = sizeof(Stored);
  const auto pixel = [&](std::int64_t row, std::int64_t column) {
    Stored value;
    std::memcpy(&value, image + static_cast<std::size_t>(row * width + column) * size, size);
    return static_cast<double>(value);
  };
  const double pixels = static_cast<double>(factor * factor);
  for (std::int64_t row = 0; row < rows; row += factor)
    for (std::int64_t column = 0; column < width; column += factor, out += size) {
      double sum = 0;
      for (std::int64_t y = row; y < row + factor; ++y)
        for (std::int64_t x = column; x < column + factor; ++x) sum += pixel(y, x);
      const double mean = std::is_integral_v<Stored> ? std::nearbyint(sum / pixels) : sum / pixels;
      const Stored value = static_cast<Stored>(mean);
      std::memcpy(out, &value, size);
    }
}

}  // namespace

void shrink_image(ElementType type, std::span<const std::byte> image, std::int64_t channels,
                  std::int64_t height, std::int64_t width, std::int64_t factor, std::byte* out) {
  with_type(type, [&](auto stored) {
    shrink<decltype(stored)>(image.data(), channels * height, width, factor, out);
  });
}

}  // namespace ganymede
