#include "core/image_file.h"

#include <gtest/gtest.h>
// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "core/error.h"

namespace ganymede {
namespace {

// That pixels equal Pillow's is tested in tests/datasets/test_pack.py; here are round trips and damage.

using Bytes = std::vector<std::byte>;

std::vector<std::uint8_t> gradient(std::int64_t count) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(i * 7 + i / 16 * 3);
  return values;
}

class ImageFile : public testing::Test {
 protected:
  ImageFile() { std::filesystem::create_directories(folder_); }
  ~ImageFile() override { std::filesystem::remove_all(folder_); }

  Bytes png(std::int64_t width, std::int64_t height, std::int64_t channels) {
    const std::filesystem::path path = folder_ / "image.png";
    write_png(path, gradient(width * height * channels), width, height, channels);
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("ganymede-image-file-" + std::to_string(::getpid()));
};

Bytes jpeg(int side, bool progressive, const std::vector<jpeg_scan_info>& scans = {}) {
  jpeg_compress_struct state;
  jpeg_error_mgr errors;
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&state, &data, &size);
  state.image_width = state.image_height = static_cast<JDIMENSION>(side);
  state.input_components = 3;
  state.in_color_space = JCS_RGB;
  jpeg_set_defaults(&state);
  if (progressive) jpeg_simple_progression(&state);
  if (!scans.empty()) {
    state.scan_info = scans.data();
    state.num_scans = static_cast<int>(scans.size());
  }
  jpeg_start_compress(&state, TRUE);
  std::vector<std::uint8_t> pixels = gradient(std::int64_t{side} * side * 3);
  for (int y = 0; y < side; ++y) {
    JSAMPROW row = pixels.data() + std::size_t{3} * y * side;
    jpeg_write_scanlines(&state, &row, 1);
  }
  jpeg_finish_compress(&state);
  jpeg_destroy_compress(&state);
  const auto bytes = std::as_bytes(std::span(data, size));
  const Bytes result(bytes.begin(), bytes.end());
  std::free(data);
  return result;
}

/// Whether it was refused, as a dataset error that names it; anything else fails or ends the test.
bool is_refused(std::span<const std::byte> file) {
  try {
    decode_image(file, "the image");
    return false;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::dataset);
    EXPECT_EQ(std::string(error.what()).find("the image"), 0u) << error.what();
    return true;
  }
}

TEST_F(ImageFile, WhatIsWrittenIsRead) {
  for (const std::int64_t channels : {1, 3}) {
    const Pixels pixels = decode_image(png(21, 13, channels), "image.png");
    EXPECT_EQ(pixels.width, 21);
    EXPECT_EQ(pixels.height, 13);
    EXPECT_EQ(pixels.channels, channels);
    EXPECT_EQ(pixels.values, gradient(21 * 13 * channels));
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "a temporary file is left";
}

TEST_F(ImageFile, ConvertsChannels) {
  const Pixels colour{2, 1, 3, {255, 0, 0, 10, 200, 30}};
  const Pixels grey = convert_channels(colour, 1);
  EXPECT_EQ(grey.values, (std::vector<std::uint8_t>{76, 124}));
  EXPECT_EQ(convert_channels(grey, 3).values, (std::vector<std::uint8_t>{76, 76, 76, 124, 124, 124}));
}

TEST_F(ImageFile, RefusesToWriteWhatDoesNotFit) {
  EXPECT_THROW(write_png(folder_ / "a.png", gradient(11), 2, 2, 3), std::invalid_argument);
  EXPECT_THROW(write_png(folder_ / "a.png", gradient(8), 2, 2, 2), std::invalid_argument);
  try {
    write_png(folder_ / "absent" / "a.png", gradient(12), 2, 2, 3);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::storage);
  }
}

TEST_F(ImageFile, RefusesEveryCutFile) {
  // The last two bytes of a JPEG file mark its end; what comes before is the whole picture.
  const Bytes files[] = {jpeg(16, false), jpeg(16, true), png(16, 16, 3)};
  for (const Bytes& file : files)
    for (std::size_t size = 0; size + 2 < file.size(); ++size)
      EXPECT_TRUE(is_refused(std::span(file).first(size))) << size << " of " << file.size();
}

TEST_F(ImageFile, SurvivesEveryFlippedBit) {
  const Bytes files[] = {jpeg(16, false), jpeg(16, true), png(16, 16, 3)};
  for (const Bytes& file : files) {
    ASSERT_FALSE(is_refused(file));
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
      Bytes changed = file;
      changed[bit / 8] ^= std::byte{1} << (bit % 8);
      if (is_refused(changed)) ++refused;
    }
    EXPECT_GT(refused, file.size());
    // PNG has checksums: every bit outside the last, empty chunk's is covered.
    if (&file == &files[2]) {
      EXPECT_GE(refused, file.size() * 8 - 12 * 8);
    }
  }
}

TEST_F(ImageFile, RefusesMoreScansThanAnybodyWrites) {
  // All coefficients of the lowest frequency, then those of each frequency and colour.
  std::vector<jpeg_scan_info> scans{{3, {0, 1, 2}, 0, 0, 0, 0}};
  for (int frequency = 1; frequency < 33; ++frequency)
    for (int colour = 0; colour < 3; ++colour) scans.push_back({1, {colour}, frequency, frequency, 0, 0});
  EXPECT_FALSE(is_refused(jpeg(16, true, scans)));
  for (int frequency = 33; frequency < 64; ++frequency)
    for (int colour = 0; colour < 3; ++colour) scans.push_back({1, {colour}, frequency, frequency, 0, 0});
  const Bytes slow = jpeg(16, true, scans);
  try {
    decode_image(slow, "slow.jpg");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("more than 100 scans"), std::string::npos) << error.what();
  }
}

TEST_F(ImageFile, RefusesAbsurdSizesBeforeTakingMemory) {
  Bytes file = jpeg(16, false);
  for (std::size_t i = 0; i + 9 < file.size(); ++i) {
    if (file[i] != std::byte{0xFF} || file[i + 1] != std::byte{0xC0}) continue;
    for (std::size_t k = 5; k < 9; ++k) file[i + k] = std::byte{0xFE};  // height and width
    break;
  }
  try {
    decode_image(file, "huge.jpg");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("65278 x 65278"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace ganymede
