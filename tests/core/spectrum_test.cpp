#include "core/spectrum.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

TEST(TopSingularValue, IsThatOfTheWeightAsAMatrix) {
  const at::Tensor weight = at::zeros({3, 2, 2});
  weight[0][1][0] = 3;
  weight[2][0][1] = -5;
  EXPECT_NEAR(top_singular_value(weight).item<double>(), 5, 1e-9);
}

TEST(TopSingularValue, IsZeroOfNothing) {
  EXPECT_EQ(top_singular_value(at::zeros({4, 7})).item<double>(), 0);
}

TEST(TopSingularValue, IsNeverTooLarge) {
  const at::Tensor weight = at::cos(at::arange(60, at::kDouble).square()).view({6, 10});
  const double exact = at::linalg_svdvals(weight)[0].item<double>();
  const double estimate = top_singular_value(weight, 100).item<double>();
  EXPECT_LE(estimate, exact * (1 + 1e-12));
  EXPECT_GT(estimate, exact * (1 - 1e-3));
  EXPECT_LE(top_singular_value(weight, 1).item<double>(), estimate);
}

}  // namespace
}  // namespace ganymede
