#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace ganymede {

/// A film as one animated PNG (PNG 3rd edition, section 11.3.2.12 and on: chunks acTL, fcTL, fdAT): what knows no
/// animation shows the first frame. It repeats for ever. Holds the encoded frames in memory until finish().
///
///     AnimatedPng film(64, 64, 3, 48, 24);
///     for (...) film.add(pixels);
///     film.finish("film.png");  // 48 frames, two seconds
class AnimatedPng {
 public:
  /// `frames` in all, of `height` x `width` pixels of 1 or 3 channels; `per_second` is of frames, 1 to 1000.
  AnimatedPng(std::int64_t width, std::int64_t height, std::int64_t channels, std::int64_t frames,
              std::int64_t per_second);
  /// The next frame: 8-bit pixels, interleaved.
  void add(std::span<const std::uint8_t> pixels);
  /// Writes it durably (core/files.h), once all frames came.
  void finish(const std::filesystem::path& path);

 private:
  void append(std::string_view type, std::string_view content);
  void append_control();

  std::int64_t width_, height_, channels_, frames_, per_second_;
  std::int64_t added_ = 0;
  std::uint32_t sequence_ = 0;  ///< numbers fcTL and fdAT chunks together
  std::string file_;
};

}  // namespace ganymede
