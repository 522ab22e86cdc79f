#include "core/metrics/sliced_wasserstein.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

at::Tensor images(std::uint64_t seed, std::int64_t count, std::int64_t side) {
  return RandomStream({.seed = seed})
      .normal(0, count, 3 * side * side, at::kFloat)
      .view({count, 3, side, side});
}

TEST(SlicedWasserstein, PyramidOfAFlatImageIsItsLowest) {
  const auto levels = laplacian_pyramid(at::full({2, 3, 64, 64}, 7, at::kByte));
  ASSERT_EQ(levels.size(), 3);
  for (std::size_t level = 0; level < 3; ++level) {
    EXPECT_EQ(levels[level].size(2), 64 >> level);
    const float expected = level == 2 ? 7 : 0;
    EXPECT_TRUE(at::allclose(levels[level], at::full_like(levels[level], expected), 0, 1e-5)) << level;
  }
}

TEST(SlicedWasserstein, PatchesAreCutFromTheirImageAndKeyed) {
  const at::Tensor level = at::arange(2 * 3 * 16 * 16).to(at::kFloat).view({2, 3, 16, 16});
  const at::Tensor patches = draw_patches(level, 0, {}, at::tensor({5, 9}, at::kLong));
  ASSERT_EQ(patches.sizes(), (at::IntArrayRef{256, 3, 49}));
  const at::Tensor corner = patches.select(1, 0).select(1, 0).to(at::kLong);
  EXPECT_TRUE(corner.narrow(0, 0, 128).lt(256).all().item<bool>());
  EXPECT_TRUE(corner.narrow(0, 128, 128).ge(768).all().item<bool>());
  EXPECT_EQ(corner.remainder(16).max().item<std::int64_t>(), 9);  // 16 - 7: a patch ends at the border
  EXPECT_EQ(corner.narrow(0, 0, 128).max().item<std::int64_t>() / 16, 9);
  const at::Tensor offsets = (at::arange(7).view({7, 1}) * 16 + at::arange(7)).flatten();
  for (std::int64_t c = 0; c < 3; ++c)
    EXPECT_TRUE(patches.select(1, c).to(at::kLong).equal(corner.unsqueeze(1) + 256 * c + offsets));
  EXPECT_TRUE(draw_patches(level.narrow(0, 1, 1), 0, {}, at::tensor({9}, at::kLong))
                  .equal(patches.narrow(0, 128, 128)));
  EXPECT_FALSE(draw_patches(level, 1, {}, at::tensor({5, 9}, at::kLong)).equal(patches));
}

TEST(SlicedWasserstein, StandardisesPerChannel) {
  at::Tensor patches = images(1, 64, 7).view({64, 3, 49}) * 5 + 3;
  patches.select(1, 2).fill_(4);
  const at::Tensor sums = channel_sums(patches.narrow(0, 0, 20)) + channel_sums(patches.narrow(0, 20, 44));
  const at::Tensor result = standardise(patches, sums).view({64, 3, 49}).to(at::kDouble);
  EXPECT_LT(result.mean(at::IntArrayRef{0, 2}).abs().max().item<double>(), 1e-6);
  const at::Tensor deviation = result.square().mean(at::IntArrayRef{0, 2}).sqrt();
  EXPECT_NEAR(deviation[0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(deviation[1].item<double>(), 1, 1e-6);
  EXPECT_EQ(deviation[2].item<double>(), 0);
}

TEST(SlicedWasserstein, SortedDistanceIsKnown) {
  const at::Tensor a = at::tensor({3.0f, -1.0f, 2.0f, 5.0f, 0.0f, -2.5f}).view({3, 2});
  const at::Tensor b = at::tensor({0.5f, 5.0f, 2.0f, -2.5f, 4.0f, -1.0f}).view({3, 2});
  const at::Tensor distance = sorted_distance(a, b);
  EXPECT_DOUBLE_EQ(distance[0].item<double>(), 0.5);  // 0 2 3 against 0.5 2 4
  EXPECT_DOUBLE_EQ(distance[1].item<double>(), 0);
  EXPECT_THROW(sorted_distance(a, b.narrow(0, 0, 2)), Error);
}

TEST(SlicedWasserstein, DirectionsAreUnitVectors) {
  const at::Tensor directions = slice_directions({}, 147);
  EXPECT_EQ(directions.sizes(), (at::IntArrayRef{147, 512}));
  EXPECT_TRUE(at::allclose(directions.square().sum(0), at::ones({512}), 1e-5));
  EXPECT_LT(directions.mean().abs().item<double>(), 2e-3);
}

TEST(SlicedWasserstein, IsZeroOfTheSameAndGrowsWhereImagesDiffer) {
  const at::Tensor x = images(1, 20, 32), other = images(2, 20, 32);
  const SlicedWasserstein same = sliced_wasserstein(x, x, {});
  ASSERT_EQ(same.levels.size(), 2);
  EXPECT_EQ(same.mean, 0);
  // Stripes are a difference of the finest level alone.
  at::Tensor striped = other.clone();
  striped.slice(3, 0, {}, 2).add_(2);
  striped.slice(3, 1, {}, 2).sub_(2);
  const SlicedWasserstein alike = sliced_wasserstein(x, other, {}),
                          changed = sliced_wasserstein(x, striped, {});
  EXPECT_LT(alike.mean, 0.1);
  EXPECT_GT(changed.levels[0], 5 * alike.levels[0]);
  EXPECT_LT(changed.levels[1], 2 * alike.levels[1]);
}

TEST(SlicedWasserstein, RefusesOtherSides) {
  EXPECT_THROW(laplacian_pyramid(images(1, 1, 24)), Error);
  EXPECT_THROW(laplacian_pyramid(images(1, 1, 8)), Error);
  EXPECT_THROW(sliced_wasserstein(images(1, 2, 16), images(1, 3, 16), {}), Error);
}

}  // namespace
}  // namespace ganymede
