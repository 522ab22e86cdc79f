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

/// With eps = 0.5, and noise 1 before its deviation.
at::Tensor penalty_of(const GradientPenaltyOptions& options, Discriminator& ramp, const at::Tensor& x,
                      const at::Tensor& fake, const at::Tensor& scale = {}) {
  const at::Tensor noise = options.kind == "wgan-gp" ? at::full({x.size(0), 1}, 0.5, x.options())
                                                     : at::ones({x.size(0), 4}, x.options());
  const at::Tensor labels = at::zeros({x.size(0)}, at::kLong);
  return gradient_penalty(options, ramp, {x, fake, labels, labels, {}, {}}, noise,
                          {world(), {0, x.size(0), x.size(0)}}, scale);
}

at::Tensor images(double value) {
  return at::full({2, 1, 2, 2}, value, at::kDouble);
}

TEST(GradientPenalty, IsTheFormula) {
  const at::Tensor x = images(1);
  Ramp ramp(3);  // |grad| = 3 sqrt(4) = 6
  const at::Tensor wgan = penalty_of({.weight = 10}, ramp, x, x);
  EXPECT_TRUE(at::allclose(wgan, at::full({2}, 10.0 * 25, at::kDouble)));
  wgan.sum().backward();
  // d/ds 10 (2 s - 1)^2 = 40 (2 s - 1), for each of two images.
  EXPECT_NEAR(ramp.slope.grad().item<double>(), 2 * 40 * 5, 1e-9);
  const at::Tensor target = penalty_of({.weight = 10, .target = 4}, ramp, x, x);
  EXPECT_TRUE(at::allclose(target, at::full({2}, 10.0 * 0.25, at::kDouble)));
  const at::Tensor r1 = penalty_of({.weight = 10, .kind = "r1"}, ramp, x, x);
  EXPECT_TRUE(at::allclose(r1, at::full({2}, 10.0 / 2 * 36, at::kDouble)));
}

// The ramp tells by its gradient on which side of zero it was looked at.
TEST(GradientPenalty, LooksWhereItsKindSays) {
  const auto is_steep = [](const GradientPenaltyOptions& options, double real, double fake) {
    Ramp ramp(3);
    const double steep = options.kind == "dragan" ? 25 : 18;
    const double penalty = penalty_of(options, ramp, images(real), images(fake))[0].item<double>();
    return std::abs(penalty - steep) < 1e-9;
  };
  EXPECT_TRUE(is_steep({.weight = 1, .kind = "r1"}, 1, -1));
  EXPECT_FALSE(is_steep({.weight = 1, .kind = "r1"}, -1, 1));
  EXPECT_TRUE(is_steep({.weight = 1, .kind = "r2"}, -1, 1));
  EXPECT_FALSE(is_steep({.weight = 1, .kind = "r2"}, 1, -1));
  EXPECT_TRUE(is_steep({.weight = 1, .kind = "dragan", .noise = 0.5}, -0.4, -1));
  EXPECT_FALSE(is_steep({.weight = 1, .kind = "dragan", .noise = 0.5}, -0.6, 1));
}

TEST(GradientPenalty, IsFiniteWhereDIsFlat) {
  for (const char* kind : {"wgan-gp", "dragan", "r1", "r2"}) {
    Ramp ramp(3);
    const at::Tensor penalty = penalty_of({.weight = 10, .kind = kind}, ramp, images(-2), images(-2));
    penalty.sum().backward();
    EXPECT_EQ(ramp.slope.grad().item<double>(), 0) << kind;
  }
}

TEST(GradientPenalty, LazyOnesAreDueEverySoOften) {
  const GradientPenaltyOptions lazy{.weight = 1, .every = 3};
  for (const std::int64_t update : {0, 3, 6}) EXPECT_TRUE(lazy.due(update));
  for (const std::int64_t update : {1, 2, 4}) EXPECT_FALSE(lazy.due(update));
  EXPECT_FALSE(GradientPenaltyOptions{}.due(0));
}

TEST(GradientPenalty, DrawsNoiseByTheImagesPositions) {
  const auto draws = [](std::int64_t first, std::int64_t count) {
    return ImageDraws{{.seed = 3, .phase = "discriminator"}, first, count, at::kDouble};
  };
  for (const std::string kind : {"wgan-gp", "dragan"}) {
    const GradientPenaltyOptions options{.weight = 1, .kind = kind};
    const at::Tensor whole = penalty_noise(options, images(0), draws(0, 4));
    EXPECT_EQ(whole.size(1), kind == "dragan" ? 4 : 1);
    EXPECT_TRUE(at::equal(whole.narrow(0, 1, 2), penalty_noise(options, images(0), draws(1, 2)))) << kind;
  }
  EXPECT_FALSE(penalty_noise({.weight = 1, .kind = "r1"}, images(0), draws(0, 4)).defined());
}

TEST(GradientPenalty, InFloat16NeedsTheScale) {
  const at::Tensor x = at::ones({2, 1, 2, 2});
  constexpr double slope = 1e-8;  // under float16's least number, 6e-8
  HalfRamp ramp(slope);
  const auto r1 = [&](const at::Tensor& scale) {
    return penalty_of({.weight = 10, .kind = "r1"}, ramp, x, x, scale);
  };
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
