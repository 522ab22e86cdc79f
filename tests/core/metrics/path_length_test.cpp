#include "core/metrics/path_length.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/error.h"
#include "random_features.h"

namespace ganymede {
namespace {

at::Tensor at_all(const at::Tensor& rows, double t) {
  return at::full({rows.size(0)}, t, at::kDouble);
}

TEST(Path, OfUnitVectorsGoesAlongTheGreatCircle) {
  const at::Tensor a = at::tensor({1., 0., 0.}, at::kDouble).view({1, 3});
  const at::Tensor b = at::tensor({0., 0., 1.}, at::kDouble).view({1, 3});
  const double angle = std::numbers::pi / 2 * 0.3;
  const at::Tensor expected = at::tensor({std::cos(angle), 0., std::sin(angle)}, at::kDouble).view({1, 3});
  EXPECT_TRUE(at::allclose(on_path(a, b, at_all(a, 0.3)), expected, 1e-12, 1e-12));
}

TEST(Path, GoesFromOneEndToTheOtherAtConstantSpeed) {
  const at::Tensor a = random_features(1, 50, 16), b = random_features(2, 50, 16) * 2;
  EXPECT_TRUE(at::allclose(on_path(a, b, at_all(a, 0)), a, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(on_path(a, b, at_all(a, 1)), b, 1e-12, 1e-12));
  const auto length = [](const at::Tensor& x) { return at::linalg_vector_norm(x, 2, at::IntArrayRef{1}); };
  EXPECT_TRUE(at::allclose(length(on_path(a, b, at_all(a, 0.25))), length(a) * 0.75 + length(b) * 0.25));
  const auto cosine = [&](double s, double t) {
    const at::Tensor x = on_path(a, b, at_all(a, s)), y = on_path(a, b, at_all(a, t));
    return (x * y).sum(1) / length(x) / length(y);
  };
  EXPECT_TRUE(at::allclose(cosine(0.1, 0.2), cosine(0.8, 0.9)));
  EXPECT_TRUE(at::allclose(on_path(a, a, at_all(a, 0.5)), a)) << "a path of no length";
}

TEST(Percentiles, LeaveOutTheLowestAndTheHighestOfThem) {
  // Of 201 values 1 and 99 % are the 3rd from either end.
  const at::Tensor values = at::arange(201, at::kDouble).flip(0).clone();
  values[0] = 1e9;
  values[200] = -1e9;
  const Estimate mean = mean_within_percentiles(values);
  EXPECT_DOUBLE_EQ(mean.value, 100);
  const double deviation = at::arange(201, at::kDouble).clamp(2, 198).std().item<double>();
  EXPECT_NEAR(mean.standard_error, deviation / (197. / 201 * std::sqrt(201.)), 1e-12);
  EXPECT_DOUBLE_EQ(mean_within_percentiles(at::tensor({7., 5.}, at::kDouble)).value, 6);
  EXPECT_EQ(mean_within_percentiles(at::tensor({7.}, at::kDouble)).standard_error, 0);
  EXPECT_THROW(mean_within_percentiles(at::empty({0}, at::kDouble)), Error);
}

}  // namespace
}  // namespace ganymede
