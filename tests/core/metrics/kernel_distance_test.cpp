#include "core/metrics/kernel_distance.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "random_features.h"

namespace ganymede {
namespace {

double by_pairs(const at::Tensor& x, const at::Tensor& y, bool skip_same) {
  double sum = 0, count = 0;
  for (std::int64_t i = 0; i < x.size(0); ++i)
    for (std::int64_t j = 0; j < y.size(0); ++j)
      if (!skip_same || i != j) {
        sum += std::pow(x[i].dot(y[j]).item<double>() / static_cast<double>(x.size(1)) + 1, 3);
        ++count;
      }
  return sum / count;
}

TEST(KernelDistance, IsTheSumOverPairs) {
  const at::Tensor x = random_features(1, 9, 4, 1), y = random_features(2, 7, 4);
  const double expected = by_pairs(x, x, true) + by_pairs(y, y, true) - 2 * by_pairs(x, y, false);
  EXPECT_NEAR(squared_mmd(x, y) / expected, 1, 1e-12);
  EXPECT_NEAR(squared_mmd(y, x) / expected, 1, 1e-12);
}

// The estimate is unbiased: of one distribution it is as often below zero as above.
TEST(KernelDistance, OfOneDistributionIsAroundZero) {
  const at::Tensor x = random_features(1, 1000, 16), y = random_features(2, 1000, 16);
  const KernelDistance same = kernel_distance(x, y, draw_subsets({.stream = "x"}, 1000, 50, 100),
                                              draw_subsets({.stream = "y"}, 1000, 50, 100));
  const KernelDistance other = kernel_distance(x, y + 0.3, draw_subsets({.stream = "x"}, 1000, 50, 100),
                                               draw_subsets({.stream = "y"}, 1000, 50, 100));
  EXPECT_LT(std::abs(same.mean), same.deviation);
  EXPECT_GT(other.mean, 3 * std::abs(same.mean));
  EXPECT_EQ(same.subsets.size(), 50);
}

TEST(KernelDistance, MeanAndDeviationAreOverAllSubsets) {
  const KernelDistance result = kernel_distance({1, 2, 3, 6});
  EXPECT_DOUBLE_EQ(result.mean, 3);
  EXPECT_DOUBLE_EQ(result.deviation, std::sqrt(14.0 / 4));
}

// Against the spread of the mean over sets that are drawn anew.
TEST(KernelDistance, TheErrorBarIsHowFarTheMeanVaries) {
  constexpr std::int64_t repetitions = 40, count = 120, size = 40, subsets = 30;
  std::vector<double> means;
  double squared = 0;
  for (std::int64_t r = 0; r < repetitions; ++r) {
    const auto seed = static_cast<std::uint64_t>(2 * r);
    const KernelDistance distance =
        kernel_distance(random_features(seed, count, 4), random_features(seed + 1, count, 4, 0.7),
                        draw_subsets({.seed = seed, .stream = "x"}, count, subsets, size),
                        draw_subsets({.seed = seed, .stream = "y"}, count, subsets, size));
    means.push_back(distance.mean);
    squared += std::pow(*standard_error(distance, size, count), 2) / repetitions;
  }
  const double varies = kernel_distance(means).deviation;
  EXPECT_NEAR(std::sqrt(squared) / varies, 1, 0.35);
  EXPECT_FALSE(standard_error(kernel_distance({1, 1}), 120, 120)) << "subsets that are all";
  EXPECT_FALSE(standard_error(kernel_distance({1}), 40, 120));
}

TEST(KernelDistance, SubsetsHaveNoIndexTwiceAndAreKeyed) {
  const at::Tensor subsets = draw_subsets({.seed = 7}, 50, 20, 30);
  for (std::int64_t s = 0; s < 20; ++s) {
    const at::Tensor sorted = std::get<0>(subsets[s].sort());
    EXPECT_TRUE(sorted.diff().gt(0).all().item<bool>());
    EXPECT_GE(sorted[0].item<std::int64_t>(), 0);
    EXPECT_LT(sorted[29].item<std::int64_t>(), 50);
  }
  EXPECT_TRUE(draw_subsets({.seed = 7}, 50, 3, 30).equal(subsets.narrow(0, 0, 3)));
  EXPECT_FALSE(draw_subsets({.seed = 8}, 50, 20, 30).equal(subsets));
  EXPECT_FALSE(subsets[0].equal(subsets[1]));
}

TEST(KernelDistance, RefusesTooFewSamples) {
  EXPECT_THROW(draw_subsets({}, 99, 1, 100), Error);
  EXPECT_THROW(squared_mmd(at::ones({1, 2}), at::ones({5, 2})), Error);
  EXPECT_THROW(squared_mmd(at::ones({5, 2}) * NAN, at::ones({5, 2})), Error);
}

}  // namespace
}  // namespace ganymede
