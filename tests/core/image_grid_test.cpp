#include "core/image_grid.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "core/image_file.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(ToBytes, ScalesClampsTruncates) {
  const at::Tensor images =
      torch::tensor({-1.0, -1.01, 0.0, 0.5, 0.999, 1.0, 7.0, -9.0, 0.0039}, at::kDouble);
  const at::Tensor expected = torch::tensor({0, 0, 128, 191, 255, 255, 255, 0, 128}, at::kByte);
  for (const auto type : {at::kDouble, at::kFloat})
    EXPECT_TRUE(at::equal(to_bytes(images.to(type)), expected));
  // In float16, 0.999 * 127.5 + 128 would round up to 255.5: the arithmetic is float32 whatever the images
  // are.
  EXPECT_EQ(to_bytes(torch::tensor({-0.25}, at::kHalf)).item<int>(), 96);
  EXPECT_EQ(to_bytes(torch::tensor({std::nan("")})).item<int>(), 0);
}

Pixels grid_of(const at::Tensor& images, std::int64_t columns) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("ganymede-grid-" + std::to_string(::getpid()) + ".png");
  write_grid(path, images, columns);
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  return decode_image(std::as_bytes(std::span(text)), "grid");
}

TEST(WriteGrid, PlacesImagesInOrder) {
  // Five 200 x 300 images of constant colour (i, 10 i, 100 + i) in rows of three: too large to be enlarged.
  at::Tensor images = at::zeros({5, 3, 200, 300}, at::kByte);
  for (int i = 0; i < 5; ++i)
    for (int c = 0; c < 3; ++c) images[i][c].fill_(c == 0 ? i : c == 1 ? 10 * i : 100 + i);
  const Pixels grid = grid_of(images, 3);
  ASSERT_EQ(grid.width, 3 * 302 + 2);
  ASSERT_EQ(grid.height, 2 * 202 + 2);
  const auto at = [&](std::int64_t x, std::int64_t y, std::int64_t c) {
    return static_cast<int>(grid.values[static_cast<std::size_t>((y * grid.width + x) * 3 + c)]);
  };
  for (int i = 0; i < 5; ++i) {
    const std::int64_t x = 2 + i % 3 * 302;
    const std::int64_t y = 2 + i / 3 * 202;
    for (const auto& [dx, dy] : {std::pair{0, 0}, {299, 0}, {0, 199}, {299, 199}}) {
      EXPECT_EQ(at(x + dx, y + dy, 0), i);
      EXPECT_EQ(at(x + dx, y + dy, 1), 10 * i);
      EXPECT_EQ(at(x + dx, y + dy, 2), 100 + i);
    }
    EXPECT_EQ(at(x - 1, y, 0), 255);
    EXPECT_EQ(at(x, y - 1, 0), 255);
  }
  EXPECT_EQ(at(700, 300, 1), 255);  // the empty place
}

TEST(WriteGrid, EnlargesSmallImages) {
  const at::Tensor images = torch::linspace(-1, 1, 16 * 32 * 32).reshape({16, 1, 32, 32});
  const Pixels grid = grid_of(images, 8);
  EXPECT_EQ(grid.channels, 1);
  EXPECT_GE(grid.width, 600);
  EXPECT_LE(grid.width, 1200);
  const std::int64_t factor = (grid.width - 2) / 8 / 32;
  EXPECT_EQ(grid.width, 8 * (32 * factor + 2) + 2);
  const at::Tensor bytes = to_bytes(images);
  for (const std::int64_t x : {0, 1, 31})
    EXPECT_EQ(
        grid.values[static_cast<std::size_t>((2 + 5 * factor) * grid.width + 2 + x * factor + factor - 1)],
        bytes[0][0][5][x].item<int>());
}

TEST(WriteGrid, ShowsWhatItCanOfOtherChannelCounts) {
  EXPECT_EQ(grid_of(at::zeros({1, 2, 8, 8}), 4).channels, 1);
  EXPECT_EQ(grid_of(at::zeros({1, 5, 8, 8}), 4).channels, 3);
}

TEST(WriteGrid, RefusesASheetBeyondThePngBound) {
  // 10000 a row of 8 x 8 make rows of 100002 x 10 pixels, of which 178 and the last gap fit.
  const std::int64_t fit = 1'780'000;
  check_grid(fit, 10000, 8, 8);
  const std::string message = expect_error(ExitCode::options, [&] { check_grid(fit + 1, 10000, 8, 8); });
  EXPECT_NE(message.find("a sheet of 1780001 images"), std::string::npos) << message;
  EXPECT_NE(message.find("draw at most 1780000 images"), std::string::npos) << message;
  const at::Tensor tall = at::empty({1, 1, 1, 1}).expand({60, 3, 2000, 2000});
  expect_error(ExitCode::options, [&] { write_grid("/nonexistent/sheet.png", tall, 8); });
}

}  // namespace
}  // namespace ganymede
