#include "launch/report/comparison.h"

#include <gtest/gtest.h>

#include <bit>
#include <numeric>
#include <set>

#include "core/image_file.h"
#include "datasets/dataset_writer.h"
#include "launch/report/page.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(Comparison, HalfOfThePlacesAreRealInAnOrderOfTheSeed) {
  const auto places = draw_places(1000, 1);
  EXPECT_EQ(std::ranges::count(places, true), 500);
  EXPECT_NEAR(static_cast<double>(std::count(places.begin(), places.begin() + 500, true)), 250, 40);
  std::set<std::int64_t> of_odd_numbers;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    of_odd_numbers.insert(std::ranges::count(draw_places(7, seed), true));
  EXPECT_EQ(of_odd_numbers, (std::set<std::int64_t>{3, 4}));
  EXPECT_EQ(draw_places(1000, 1), places);
  EXPECT_NE(draw_places(1000, 2), places);
}

TEST(Comparison, DrawsDifferentImagesOfADataset) {
  const TemporaryFolder folder;
  DatasetWriter writer(folder / "a.h5", {.count = 8, .channels = 1, .height = 2, .width = 2});
  std::vector<std::byte> bytes(8 * 4);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 4 * 30);
  writer.write_images(0, bytes);
  writer.finish();
  const auto dataset = ImageDataset::attach(ImageDataset::inspect({folder / "a.h5"}));
  const at::Tensor all = draw_images(dataset, 8, 3, "real");
  std::set<int> values;
  for (int i = 0; i < 8; ++i) values.insert(all[i][0][1][1].item<int>());
  EXPECT_EQ(values, (std::set<int>{0, 30, 60, 90, 120, 150, 180, 210})) << "each once, as stored";
  EXPECT_FALSE(at::equal(all, draw_images(dataset, 8, 3, "generated")));
  EXPECT_EQ(draw_images(dataset, 0, 3, "real").sizes(), (std::vector<std::int64_t>{0, 1, 2, 2}));
  expect_error(ExitCode::options, [&] { draw_images(dataset, 9, 3, "real"); });
}

TEST(Comparison, TagsTellTheTruth) {
  Comparison comparison;
  comparison.is_real = {true, false, false, true, false};
  comparison.real = at::full({2, 1, 3, 5}, 200, at::kByte);
  comparison.generated = at::full({3, 1, 3, 5}, 10, at::kByte);
  const nlohmann::json data = comparison_data(comparison);
  ASSERT_EQ(data["images"].size(), 5u);
  EXPECT_EQ(data["width"], 5);
  EXPECT_EQ(data["height"], 3);
  std::set<std::string> tags;
  for (std::size_t i = 0; i < 5; ++i) {
    const std::string tag = data["images"][i]["tag"];
    tags.insert(tag);
    EXPECT_EQ(std::popcount(static_cast<std::uint32_t>(std::stoul(tag, nullptr, 16))) % 2 == 1,
              comparison.is_real[i]);
    const std::vector<std::uint8_t> pixels(15, comparison.is_real[i] ? 200 : 10);
    EXPECT_EQ(data["images"][i]["png"], base64(encode_png(pixels, 5, 3, 1)));
  }
  EXPECT_EQ(tags.size(), 5u);
}

TEST(Comparison, RefusesImagesThatTheirSizeGivesAway) {
  Comparison comparison;
  comparison.is_real = {true, false};
  comparison.real = at::zeros({1, 1, 4, 4}, at::kByte);
  comparison.generated = at::zeros({1, 3, 4, 4}, at::kByte);
  const std::string message = expect_error(ExitCode::options, [&] { comparison_data(comparison); });
  EXPECT_NE(message.find("1 x 4 x 4"), message.npos) << message;
}

}  // namespace
}  // namespace ganymede
