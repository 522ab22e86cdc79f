#include "core/metrics/image_similarity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace ganymede {
namespace {

at::Tensor images(std::uint64_t seed, std::int64_t count, std::int64_t side) {
  return RandomStream({.seed = seed})
      .integers(0, count * 3 * side * side, 256)
      .view({count, 3, side, side})
      .to(at::kByte);
}

TEST(ImageSimilarity, OfEqualImages) {
  const at::Tensor x = images(1, 3, 32);
  EXPECT_TRUE(psnr(x, x).isinf().all().item<bool>());
  EXPECT_TRUE(at::allclose(ssim(x, x), at::ones({3}, at::kDouble), 1e-12));
  EXPECT_TRUE(at::allclose(ms_ssim(x, x), at::ones({3}, at::kDouble), 1e-12));
}

TEST(ImageSimilarity, PsnrIsKnown) {
  const at::Tensor x = at::full({1, 1, 4, 4}, 100, at::kByte), y = at::full({1, 1, 4, 4}, 110, at::kByte);
  EXPECT_NEAR(psnr(x, y).item<double>(), 20 * std::log10(25.5), 1e-12);
  EXPECT_NEAR(psnr(at::zeros({1, 1, 2, 2}), at::ones({1, 1, 2, 2}), 2).item<double>(), 20 * std::log10(2),
              1e-12);
}

// Of flat images only the luminance differs.
TEST(ImageSimilarity, OfFlatImagesIsTheirLuminance) {
  const at::Tensor x = at::full({1, 3, 16, 16}, 100, at::kByte), y = at::full({1, 3, 16, 16}, 50, at::kByte);
  const double c1 = 2.55 * 2.55, luminance = (2 * 100 * 50 + c1) / (100 * 100 + 50 * 50 + c1);
  EXPECT_NEAR(ssim(x, y).item<double>(), luminance, 1e-12);
  EXPECT_NEAR(ms_ssim(x, y).item<double>(), std::pow(luminance, 0.1333), 1e-9);
}

TEST(ImageSimilarity, FallsWithNoiseAndDoesNotDependOnTheScale) {
  const at::Tensor x = images(2, 20, 32), noise = images(3, 20, 32).to(at::kDouble);
  at::Tensor last = at::full({20}, 2.0, at::kDouble);
  for (const double amount : {0.0, 0.1, 0.3, 0.9}) {
    const at::Tensor y = x + amount * (noise - 128), now = ssim(x.to(at::kDouble), y);
    EXPECT_TRUE(now.lt(last).all().item<bool>()) << amount;
    EXPECT_TRUE(at::allclose(ssim(x.to(at::kDouble) / 255, y / 255, 1), now, 1e-9, 1e-9));
    last = now;
  }
}

TEST(ImageSimilarity, RefusesImagesThatDoNotMatch) {
  EXPECT_THROW(ssim(images(1, 2, 16), images(1, 2, 32)), Error);
  EXPECT_THROW(ms_ssim(images(1, 2, 8), images(1, 2, 8)), Error);
}

TEST(ImageSimilarity, PairsAreOfDifferentImagesAndKeyed) {
  const at::Tensor pairs = draw_pairs({.seed = 1}, 10, 1000);
  EXPECT_TRUE(pairs.select(1, 0).ne(pairs.select(1, 1)).all().item<bool>());
  EXPECT_EQ(pairs.min().item<std::int64_t>(), 0);
  EXPECT_EQ(pairs.max().item<std::int64_t>(), 9);
  EXPECT_TRUE(draw_pairs({.seed = 1}, 10, 5).equal(pairs.narrow(0, 0, 5)));
  // All 90 ordered pairs come up.
  EXPECT_EQ(std::get<0>(at::_unique(pairs.select(1, 0) * 10 + pairs.select(1, 1))).size(0), 90);
  EXPECT_THROW(draw_pairs({}, 1, 5), Error);
}

}  // namespace
}  // namespace ganymede
