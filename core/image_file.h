#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ganymede {

/// An 8-bit picture, interleaved: value (y, x, c) is values[(y * width + x) * channels + c].
struct Pixels {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;  ///< 1 grey, 3 RGB
  std::vector<std::uint8_t> values;
};

/// Files that claim more pixels than this (width * height) are refused before any memory is taken: the bound
/// at which Pillow too speaks of a decompression bomb.
inline constexpr std::int64_t most_pixels = 178956970;

/// Decodes a whole JPEG or PNG file held in memory. What it is is told from its first bytes.
///
/// `channels` 1 or 3 converts; 0 keeps what the file has (grey: 1, anything else: 3). Grey is repeated into
/// RGB; RGB becomes grey by L = (19595 R + 38470 G + 7471 B + 32768) >> 16. Transparency is dropped, palettes
/// are looked up, CMYK is read in Adobe's inverted polarity, orientation tags are not applied: value for
/// value what Pillow's Image.open(f).convert("RGB") or convert("L") gives. One exception: 16-bit grey keeps
/// its high byte, as 16-bit colour does; Pillow clips it at 255, which leaves white.
///
/// Throws Error(dataset) naming `name` for anything damaged, cut short, too large or of another format.
/// Warnings of the JPEG library about damaged image data count as damage; those about its surroundings do
/// not. Any thread.
Pixels decode_image(std::span<const std::byte> file, std::string_view name, int channels = 0);

/// Grey (1) to RGB (3) or back, as decode_image does; the same number of channels returns the image as it is.
Pixels convert_channels(Pixels pixels, std::int64_t channels);

/// A PNG file of `height` x `width` interleaved pixels of 1 or 3 channels.
std::string encode_png(std::span<const std::uint8_t> pixels, std::int64_t width, std::int64_t height,
                       std::int64_t channels);

/// Writes a PNG of `height` x `width` interleaved pixels of 1 or 3 channels, durably (core/files.h).
void write_png(const std::filesystem::path& path, std::span<const std::uint8_t> pixels, std::int64_t width,
               std::int64_t height, std::int64_t channels);

}  // namespace ganymede
