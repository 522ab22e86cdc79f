#include "core/metrics/moments.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "random_features.h"

namespace ganymede {
namespace {

Moments moments_of(const at::Tensor& features, std::int64_t rows_at_a_time) {
  Moments moments(features.size(1));
  for (const at::Tensor& rows : features.split(rows_at_a_time)) moments.add(rows);
  return moments;
}

double largest(const at::Tensor& difference) {
  return difference.abs().max().item<double>();
}

TEST(Moments, OfThreePointsAreKnown) {
  Moments moments(2);
  moments.add(at::tensor({1.0, 2.0, 3.0, 4.0, 5.0, 0.0}).view({3, 2}).to(at::kFloat));
  EXPECT_EQ(moments.count(), 3);
  EXPECT_EQ(largest(moments.mean() - at::tensor({3.0, 2.0}, at::kDouble)), 0);
  EXPECT_EQ(largest(moments.covariance() - at::tensor({4.0, -2.0, -2.0, 4.0}, at::kDouble).view({2, 2})), 0);
}

TEST(Moments, EqualTheTwoPassFormulaAcrossPanels) {
  const at::Tensor x = random_features(1, 1100, 300, 1);
  Moments moments = moments_of(x, 64);
  const at::Tensor centred = x - x.mean(0);
  EXPECT_LT(largest(moments.mean() - x.mean(0)), 1e-14);
  EXPECT_LT(largest(moments.covariance() - centred.t().mm(centred) / 1099), 1e-13);
  EXPECT_EQ(largest(moments.covariance() - moments.covariance().t()), 0);
}

TEST(Moments, DoNotDependOnTheSizeOfBatches) {
  const at::Tensor x = random_features(2, 1001, 40);
  const at::Tensor whole = moments_of(x, 1001).sums();
  for (const std::int64_t rows : {1, 7, 64}) EXPECT_TRUE(moments_of(x, rows).sums().equal(whole)) << rows;
}

TEST(Moments, OfRanksAddUp) {
  const at::Tensor x = random_features(3, 1001, 40, 1);
  Moments whole = moments_of(x, 64), first = moments_of(x.slice(0, 0, 1001, 3), 7);
  Moments second = moments_of(x.slice(0, 1, 1001, 3), 1), empty(40);
  first.sums().add_(second.sums()).add_(empty.sums());
  Moments third = moments_of(x.slice(0, 2, 1001, 3), 64);
  first.merge(third);
  EXPECT_EQ(first.count(), 1001);
  EXPECT_LT(largest(first.mean() - whole.mean()), 1e-14);
  EXPECT_LT(largest(first.covariance() - whole.covariance()), 1e-13);
}

TEST(Moments, RefuseWhatIsNoFeature) {
  Moments moments(2);
  EXPECT_THROW(moments.covariance(), Error);
  EXPECT_THROW(moments.add(at::zeros({3, 3})), Error);
  at::Tensor x = at::zeros({3, 2});
  x[1][0] = std::numeric_limits<float>::quiet_NaN();
  try {
    moments.add(x);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::checkpoint);
    EXPECT_NE(std::string(error.what()).find("row 1 of 3"), std::string::npos) << error.what();
  }
  x[1][0] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(moments.add(x), Error);
  EXPECT_EQ(moments.count(), 0);
}

}  // namespace
}  // namespace ganymede
