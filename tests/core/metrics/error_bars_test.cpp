#include "core/metrics/error_bars.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/metrics/frechet_blocks.h"
#include "random_features.h"

namespace ganymede {
namespace {

TEST(ErrorBars, OfDrawsAreOfTheirMean) {
  const Estimate estimate = repeated_draws({1, 2, 3, 6});
  EXPECT_DOUBLE_EQ(estimate.value, 3);
  EXPECT_DOUBLE_EQ(estimate.standard_error, std::sqrt(14.0 / 12));
  EXPECT_THROW(repeated_draws({1}), Error);
}

// For a mean, the jackknife is the usual standard error.
TEST(ErrorBars, JackknifeOfAMeanIsItsStandardError) {
  const std::vector<double> x{1, 2, 3, 6};
  std::vector<double> without;
  for (const double value : x) without.push_back((12 - value) / 3);
  const Estimate estimate = jackknife(3, without);
  EXPECT_DOUBLE_EQ(estimate.value, 3);
  EXPECT_DOUBLE_EQ(estimate.standard_error, repeated_draws(x).standard_error);
  EXPECT_THROW(jackknife(1, {1}), Error);
}

TEST(ErrorBars, LineThroughPoints) {
  const Line exact = fit_line({1, 2, 4}, {5, 7, 11});
  EXPECT_NEAR(exact.intercept, 3, 1e-14);
  EXPECT_NEAR(exact.slope, 2, 1e-14);
  EXPECT_NEAR(exact.intercept_error, 0, 1e-13);
  // By hand: slope 1.5, intercept -1/3, residual sum of squares 1/6, x mean 2, spread 2.
  const Line loose = fit_line({1, 2, 3}, {1, 3, 4});
  EXPECT_NEAR(loose.slope, 1.5, 1e-14);
  EXPECT_NEAR(loose.intercept, -1.0 / 3, 1e-14);
  EXPECT_NEAR(loose.intercept_error, std::sqrt(1.0 / 6 * (1.0 / 3 + 4.0 / 2)), 1e-14);
  EXPECT_THROW(fit_line({2, 2}, {1, 3}), Error);
}

class Blocks : public ::testing::Test {
 protected:
  static constexpr std::int64_t count = 8, rows = 400, dimension = 60;

  Blocks() {
    for (std::int64_t i = 0; i < count; ++i) {
      blocks.emplace_back(dimension);
      blocks.back().add(random_features(static_cast<std::uint64_t>(i), rows, dimension));
    }
  }

  double distance(const std::vector<std::int64_t>& chosen) {
    return blocks_distance(blocks, chosen, reference).value;
  }

  std::vector<Moments> blocks;
  Gaussian reference = Gaussian::of(at::zeros({dimension}, at::kDouble),
                                    at::diag(at::logspace(0, -4, dimension, 10, at::kDouble)));
};

TEST_F(Blocks, ListsLeaveOutEachOnce) {
  const auto lists = all_but_one(3);
  EXPECT_EQ(lists, (std::vector<std::vector<std::int64_t>>{{1, 2}, {0, 2}, {0, 1}}));
  EXPECT_EQ(growing_runs(4), (std::vector<std::vector<std::int64_t>>{
                                 {0}, {1}, {2}, {3}, {0, 1}, {2, 3}, {0, 1, 2}, {0, 1, 2, 3}}));
}

TEST_F(Blocks, TogetherAreTheWhole) {
  std::vector<at::Tensor> parts;
  for (const std::int64_t i : {2, 5})
    parts.push_back(random_features(static_cast<std::uint64_t>(i), rows, dimension));
  const double whole = frechet_distance(Gaussian::of_features(at::cat(parts)), reference).value;
  EXPECT_NEAR(distance({2, 5}) / whole, 1, 1e-9);
}

// The samples are of the reference's own distribution: the distance is all bias, and at infinity it is gone.
TEST_F(Blocks, AtInfinityTheBiasIsGone) {
  std::vector<double> counts, values;
  for (const auto& run : growing_runs(count)) {
    counts.push_back(static_cast<double>(run.size() * rows));
    values.push_back(distance(run));
  }
  const Estimate infinite = frechet_infinity(counts, values);
  EXPECT_LT(std::abs(infinite.value), 0.3 * values.back());
  EXPECT_GT(infinite.standard_error, 0);
}

TEST_F(Blocks, JackknifeComesNearTheSpreadOfDraws) {
  std::vector<double> without, alone;
  for (const auto& list : all_but_one(count)) without.push_back(distance(list));
  for (std::int64_t i = 0; i < count; ++i) alone.push_back(distance({i}));
  const double bar = jackknife(distance({0, 1, 2, 3, 4, 5, 6, 7}), without).standard_error;
  const double spread = repeated_draws(alone).standard_error;
  EXPECT_GT(bar, spread / 4);
  EXPECT_LT(bar, spread * 4);
}

}  // namespace
}  // namespace ganymede
