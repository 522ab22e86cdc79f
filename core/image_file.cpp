#include "core/image_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/error.h"
#include "core/jpeg.h"
#include "core/png.h"

namespace ganymede {
namespace {

bool starts_with(std::span<const std::byte> file, std::span<const unsigned char> magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

Pixels repeat_grey(const Pixels& grey) {
  Pixels rgb{grey.width, grey.height, 3, std::vector<std::uint8_t>(grey.values.size() * 3)};
  auto out = rgb.values.begin();
  for (const std::uint8_t value : grey.values) out = std::fill_n(out, 3, value);
  return rgb;
}

Pixels rgb_to_grey(const Pixels& rgb) {
  Pixels grey{rgb.width, rgb.height, 1, std::vector<std::uint8_t>(rgb.values.size() / 3)};
  const std::uint8_t* in = rgb.values.data();
  for (std::uint8_t& value : grey.values) {
    value = static_cast<std::uint8_t>((19595u * in[0] + 38470u * in[1] + 7471u * in[2] + 0x8000u) >> 16);
    in += 3;
  }
  return grey;
}

}  // namespace

Pixels decode_image(std::span<const std::byte> file, std::string_view name, int channels) {
  constexpr std::array<unsigned char, 3> jpeg{0xFF, 0xD8, 0xFF};
  constexpr std::array<unsigned char, 8> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  Pixels pixels;
  if (starts_with(file, jpeg))
    pixels = decode_jpeg(file, name);
  else if (starts_with(file, png))
    pixels = decode_png(file, name);
  else
    fail(ExitCode::dataset, "{} is neither a JPEG nor a PNG file ({} bytes): convert or remove it", name,
         file.size());
  return channels == 0 ? pixels : convert_channels(std::move(pixels), channels);
}

Pixels convert_channels(Pixels pixels, std::int64_t channels) {
  if (channels == pixels.channels) return pixels;
  if (channels == 3 && pixels.channels == 1) return repeat_grey(pixels);
  if (channels == 1 && pixels.channels == 3) return rgb_to_grey(pixels);
  throw std::invalid_argument(fmt::format("no conversion of {} to {} channels", pixels.channels, channels));
}

}  // namespace ganymede
