#include "core/animated_png.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/image_file.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

std::vector<std::uint8_t> frame_of(std::size_t values, int seed) {
  std::vector<std::uint8_t> frame(values);
  for (std::size_t i = 0; i < values; ++i)
    frame[i] = static_cast<std::uint8_t>(i * 7 + 50 * static_cast<std::size_t>(seed));
  return frame;
}

std::string film_of(int frames, std::int64_t channels) {
  const TemporaryFolder folder;
  AnimatedPng film(5, 3, channels, frames, 24);
  for (int i = 0; i < frames; ++i) film.add(frame_of(static_cast<std::size_t>(15 * channels), i));
  film.finish(folder / "film.png");
  std::ifstream file(folder / "film.png", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Names of the chunks in order; numbers of fcTL and fdAT beside them.
std::string chunks_of(const std::string& file) {
  std::string names;
  for (std::size_t at = 8; at < file.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(file[at + i]); };
    const std::size_t length = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    const std::string type = file.substr(at + 4, 4);
    names += (names.empty() ? "" : " ") + type;
    if (type == "fcTL" || type == "fdAT") names += std::to_string(byte(11));
    at += length + 12;
  }
  return names;
}

TEST(AnimatedPng, HasAControlAFrameAndNumbersInOrder) {
  EXPECT_EQ(chunks_of(film_of(3, 3)), "IHDR acTL fcTL0 IDAT fcTL1 fdAT2 fcTL3 fdAT4 IEND");
  EXPECT_EQ(chunks_of(film_of(1, 1)), "IHDR acTL fcTL0 IDAT IEND");
}

// The tests of `ganymede sample` read all frames by Pillow.
TEST(AnimatedPng, ShowsItsFirstFrameToReadersOfPlainPng) {
  for (const std::int64_t channels : {1, 3}) {
    const std::string file = film_of(2, channels);
    const Pixels pixels = decode_image(std::as_bytes(std::span(file)), "film");
    EXPECT_EQ(pixels.width, 5);
    EXPECT_EQ(pixels.height, 3);
    EXPECT_EQ(pixels.values, frame_of(static_cast<std::size_t>(15 * channels), 0));
  }
}

TEST(AnimatedPng, WantsAsManyFramesAsWereSaid) {
  const TemporaryFolder folder;
  AnimatedPng film(5, 3, 1, 1, 24);
  EXPECT_THROW(film.finish(folder / "film.png"), std::logic_error);
  EXPECT_THROW(film.add(frame_of(14, 0)), std::invalid_argument) << "another size";
  film.add(frame_of(15, 0));
  EXPECT_THROW(film.add(frame_of(15, 1)), std::logic_error);
  EXPECT_THROW(AnimatedPng(5, 3, 1, 0, 24), std::invalid_argument);
}

}  // namespace
}  // namespace ganymede
