#include "core/metrics/inception_score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "core/error.h"
#include "random_features.h"

namespace ganymede {
namespace {

TEST(InceptionScore, OfSureAndEvenClassesIsTheirNumber) {
  InceptionScore score(60, 2, 5);
  score.add(1000 * at::one_hot(at::arange(60).remainder(5), 5).to(at::kFloat), at::arange(60));
  EXPECT_NEAR(score.result().mean, 5, 1e-12);
  EXPECT_NEAR(score.result().deviation, 0, 1e-12);
}

TEST(InceptionScore, OfLogitsThatDoNotVaryIsOne) {
  InceptionScore score(11, 3, 4);
  score.add(at::arange(4).to(at::kFloat).expand({11, 4}), at::arange(11));
  EXPECT_NEAR(score.result().mean, 1, 1e-12);
}

// A set in two splits, one of two classes and one of a single class.
TEST(InceptionScore, SplitsByPosition) {
  InceptionScore score(5, 2, 2);  // positions 0 1 | 2 3 4
  const at::Tensor classes = at::tensor({0, 1, 1, 1, 1}, at::kLong);
  score.add(1000 * at::one_hot(classes, 2).to(at::kFloat), at::arange(5));
  EXPECT_NEAR(score.result().mean, 1.5, 1e-12);
  EXPECT_NEAR(score.result().deviation, 0.5, 1e-12);
}

TEST(InceptionScore, DoesNotDependOnWhoAddsWhat) {
  const at::Tensor logits = random_features(1, 101, 8), order = at::randperm(101, at::kLong);
  InceptionScore whole(101, 10, 8), first(101, 10, 8), second(101, 10, 8);
  whole.add(logits, order);
  for (std::int64_t row = 0; row < 101; ++row)
    (row % 3 ? first : second).add(logits.narrow(0, row, 1), order.narrow(0, row, 1));
  EXPECT_THROW(first.result(), std::logic_error);
  first.sums().add_(second.sums());
  EXPECT_NEAR(first.result().mean / whole.result().mean, 1, 1e-12);
  EXPECT_NEAR(first.result().deviation / whole.result().deviation, 1, 1e-10);
}

TEST(InceptionScore, RefusesWhatItCannotScore) {
  EXPECT_THROW(InceptionScore(3, 10, 8), Error);
  InceptionScore score(3, 1, 2);
  EXPECT_THROW(score.add(at::zeros({3, 3}), at::arange(3)), Error);
  EXPECT_THROW(score.add(at::zeros({3, 2}) * NAN, at::arange(3)), Error);
}

}  // namespace
}  // namespace ganymede
