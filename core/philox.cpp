#include "core/philox.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <string>

#include "core/hash.h"
#include "core/kernels/philox_arithmetic.h"
#include "core/philox_key.h"

namespace ganymede {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    philox_round(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
    key[0] += philox_step0;
    key[1] += philox_step1;
  }
  return counter;
}

std::array<std::uint32_t, 2> philox_key(const RandomKey& key) {
  // Text fields are preceded by their length, so that no two keys read alike.
  std::string bytes;
  const auto number = [&](std::uint64_t value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto text = [&](std::string_view value) {
    number(value.size());
    bytes.append(value);
  };
  number(key.seed);
  number(key.reseed);
  text(key.phase);
  number(key.step);
  number(key.sub_step);
  text(key.layer);
  text(key.stream);
  const std::uint64_t digest = Xxh3::of(bytes);
  return {static_cast<std::uint32_t>(digest), static_cast<std::uint32_t>(digest >> 32)};
}

RandomStream::RandomStream(const RandomKey& key) : key_(philox_key(key)) {}

std::uint64_t RandomStream::bits(std::uint64_t position, std::uint32_t index) const {
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), index / 2, 0}, key_);
  const int half = static_cast<int>(index % 2) * 2;
  return words[half] | std::uint64_t{words[half + 1]} << 32;
}

namespace {

__extension__ using Product = unsigned __int128;

double unit(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

}  // namespace

at::Tensor RandomStream::normal(std::int64_t first, std::int64_t count, std::int64_t width,
                                at::ScalarType dtype) const {
  at::Tensor result = at::empty({count, width}, at::kDouble);
  double* out = result.data_ptr<double>();
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int64_t column = 0; column < width; column += 2) {
      const std::uint64_t position = static_cast<std::uint64_t>(first + row);
      const auto index = static_cast<std::uint32_t>(column);
      const double radius = std::sqrt(-2.0 * std::log1p(-unit(bits(position, index))));
      const double angle = 2.0 * std::numbers::pi * unit(bits(position, index + 1));
      out[row * width + column] = radius * std::cos(angle);
      if (column + 1 < width) out[row * width + column + 1] = radius * std::sin(angle);
    }
  }
  return result.to(dtype);
}

at::Tensor RandomStream::uniform(std::int64_t first, std::int64_t count, std::int64_t width,
                                 at::ScalarType dtype) const {
  at::Tensor result = at::empty({count, width}, at::kDouble);
  double* out = result.data_ptr<double>();
  for (std::int64_t row = 0; row < count; ++row)
    for (std::int64_t column = 0; column < width; ++column)
      out[row * width + column] =
          unit(bits(static_cast<std::uint64_t>(first + row), static_cast<std::uint32_t>(column)));
  return result.to(dtype);
}

at::Tensor RandomStream::integers(std::int64_t first, std::int64_t count, std::int64_t bound) const {
  TORCH_CHECK(bound > 0, "integers: bound ", bound);
  at::Tensor result = at::empty({count}, at::kLong);
  std::int64_t* out = result.data_ptr<std::int64_t>();
  // The high half of a 64 x 64-bit product maps bits to [0, bound) with a bias under bound / 2^64.
  for (std::int64_t row = 0; row < count; ++row)
    out[row] =
        static_cast<std::int64_t>((static_cast<Product>(bits(static_cast<std::uint64_t>(first + row), 0)) *
                                   static_cast<std::uint64_t>(bound)) >>
                                  64);
  return result;
}

}  // namespace ganymede
