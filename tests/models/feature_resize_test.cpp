#include "models/features/feature_resize.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr PixelScale as_is{{1, 1, 1}, {0, 0, 0}};

/// One row of grey pixels, resized.
std::vector<float> resized(std::vector<std::uint8_t> row, FeatureResize mode, std::int64_t size) {
  const auto width = static_cast<std::int64_t>(row.size());
  const at::Tensor image = at::tensor(row, at::kByte).view({1, 1, 1, width}).expand({1, 1, width, width});
  const at::Tensor result = FeatureResizer(mode, size, as_is)(image, at::kCPU)[0][1][0].contiguous();
  return {result.data_ptr<float>(), result.data_ptr<float>() + size};
}

TEST(FeatureResize, PytorchTakesHalfPixelCentres) {
  EXPECT_EQ(resized({0, 100}, FeatureResize::pytorch, 4), (std::vector<float>{0, 25, 75, 100}));
  EXPECT_EQ(resized({0, 40, 80, 120}, FeatureResize::pytorch, 2), (std::vector<float>{20, 100}));
}

TEST(FeatureResize, Tf1TakesCorners) {
  EXPECT_EQ(resized({0, 100}, FeatureResize::tf1, 4), (std::vector<float>{0, 50, 100, 100}));
  EXPECT_EQ(resized({0, 40, 80, 120}, FeatureResize::tf1, 2), (std::vector<float>{0, 80}));
}

TEST(FeatureResize, CleanAntialiasesWithKeysCubic) {
  // Twice the size: distances 3/4, 1/4, 5/4, 7/4; weights (-9, 111, 29, -3) / 128, renormalised at the edge.
  const auto grown = resized({0, 0, 128, 128}, FeatureResize::clean, 8);
  EXPECT_NEAR(grown[3], 128 * (29.0 - 3) / 128, 1e-4);
  EXPECT_NEAR(grown[4], 128 * (111.0 - 9) / 128, 1e-4);
  EXPECT_LT(grown[2], 0) << "cubic overshoots, and nothing is cut off";
  // Half the size of alternating pixels: the mean, which without antialiasing it is not.
  for (const float value : resized({0, 200, 0, 200, 0, 200, 0, 200}, FeatureResize::clean, 4))
    EXPECT_NEAR(value, 100, 15);
}

TEST(FeatureResize, PillowRoundsToBytes) {
  const auto rounded = resized({0, 0, 128, 128}, FeatureResize::pillow, 8);
  EXPECT_EQ(rounded[2], 0);
  EXPECT_EQ(rounded[3], 26);
}

TEST(FeatureResize, ConstantsAndEqualSizesStayAsTheyAre) {
  const at::Tensor flat = at::full({2, 3, 21, 50}, 77, at::kByte);
  const at::Tensor image = at::arange(2 * 3 * 13 * 13).remainder(251).to(at::kByte).view({2, 3, 13, 13});
  for (const char* name : {"pytorch", "tf1", "clean", "pillow"}) {
    const FeatureResize mode = feature_resize(name);
    EXPECT_EQ(name_of(mode), name);
    EXPECT_LT((FeatureResizer(mode, 30, as_is)(flat, at::kCPU) - 77).abs().max().item<float>(), 1e-4) << name;
    EXPECT_TRUE(at::equal(FeatureResizer(mode, 13, as_is)(image, at::kCPU), image.to(at::kFloat))) << name;
  }
}

TEST(FeatureResize, ScalesByChannel) {
  const at::Tensor white = at::full({1, 1, 4, 4}, 255, at::kByte);
  const auto scaled = [&](const PixelScale& scale) {
    return FeatureResizer(FeatureResize::none, 4, scale)(white, at::kCPU)[0].select(1, 0).select(1, 0);
  };
  EXPECT_TRUE(at::allclose(scaled(symmetric_scale()), at::ones({3})));
  EXPECT_TRUE(at::allclose(scaled(tensorflow_scale()), at::full({3}, 127 / 128.0)));
  EXPECT_TRUE(at::allclose(scaled(imagenet_scale()),
                           at::tensor({0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225}, at::kFloat)));
}

TEST(FeatureResize, NoneWantsTheSize) {
  const FeatureResizer resizer(FeatureResize::none, 4, as_is);
  EXPECT_THROW(resizer(at::zeros({1, 3, 4, 5}, at::kByte), at::kCPU), Error);
  EXPECT_THROW(feature_resize("lanczos"), Error);
}

}  // namespace
}  // namespace ganymede
