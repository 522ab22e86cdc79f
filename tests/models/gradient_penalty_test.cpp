#include "models/gan/gradient_penalty.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::world;

/// D(x) = slope * sum of max(x, 0): its gradient is slope at each positive pixel and zero at the others.
class Ramp final : public Discriminator {
 public:
  explicit Ramp(double value) { slope = register_parameter("slope", at::full({}, value, at::kDouble)); }
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const ForwardContext&) override {
    return slope * at::relu(x).flatten(1).sum(1);
  }
  at::Tensor slope;
};

/// The same in float16 maps: the gradient of a map is slope rounded to it.
class HalfRamp final : public Discriminator {
 public:
  explicit HalfRamp(double value) { slope = register_parameter("slope", at::full({}, value)); }
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const ForwardContext&) override {
    return (slope * (at::relu(x.to(at::kHalf)) * 1.0).to(at::kFloat)).flatten(1).sum(1);
  }
  at::Tensor slope;
};

at::Tensor penalty_of(const char* kind, Discriminator& ramp, const at::Tensor& x,
                      const at::Tensor& scale = {}) {
  const at::Tensor eps = at::full({x.size(0), 1}, 0.5, x.options());
  return gradient_penalty({.weight = 10, .kind = kind}, ramp, x, x, at::zeros({x.size(0)}, at::kLong), eps,
                          {world(), {0, x.size(0), x.size(0)}}, scale);
}

TEST(GradientPenalty, IsTheFormula) {
  const at::Tensor x = at::ones({2, 1, 2, 2}, at::kDouble);
  Ramp ramp(3);  // |grad| = 3 sqrt(4) = 6
  const at::Tensor wgan = penalty_of("wgan-gp", ramp, x);
  EXPECT_TRUE(at::allclose(wgan, at::full({2}, 10.0 * 25, at::kDouble)));
  wgan.sum().backward();
  // d/ds 10 (2 s - 1)^2 = 40 (2 s - 1), for each of two images.
  EXPECT_NEAR(ramp.slope.grad().item<double>(), 2 * 40 * 5, 1e-9);
  EXPECT_TRUE(at::allclose(penalty_of("r1", ramp, x), at::full({2}, 10.0 / 2 * 36, at::kDouble)));
}

TEST(GradientPenalty, IsFiniteWhereDIsFlat) {
  for (const char* kind : {"wgan-gp", "r1"}) {
    Ramp ramp(3);
    const at::Tensor penalty = penalty_of(kind, ramp, at::full({2, 1, 2, 2}, -1, at::kDouble));
    penalty.sum().backward();
    EXPECT_EQ(ramp.slope.grad().item<double>(), 0) << kind;
  }
}

TEST(GradientPenalty, InFloat16NeedsTheScale) {
  const at::Tensor x = at::ones({2, 1, 2, 2});
  constexpr double slope = 1e-8;  // under float16's least number, 6e-8
  HalfRamp ramp(slope);
  const auto r1 = [&](const at::Tensor& scale) { return penalty_of("r1", ramp, x, scale); };
  EXPECT_EQ(r1({}).abs().max().item<float>(), 0);
  const double scale = 65536, expected = 10.0 / 2 * 4 * slope * slope;
  const at::Tensor scaled = r1(at::scalar_tensor(scale, at::kDouble));
  EXPECT_NEAR(scaled[0].item<double>(), expected, 1e-3 * expected);
  // The penalty itself is not scaled, and neither is its gradient: d/ds 20 s^2, for each of two images.
  (scaled.sum() * 1e9).backward();
  EXPECT_NEAR(ramp.slope.grad().item<double>(), 2 * 40 * slope * 1e9, 1e-2 * 80 * slope * 1e9);
}

}  // namespace
}  // namespace ganymede
