#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "models/gan/loss.h"
#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

struct Parts {
  double discriminator, generator;
};

/// Of one image a side, on every rank alike.
Parts parts(const std::string& name, double real, double fake, const Settings& settings = {}) {
  const auto loss = make_gan_loss(name);
  OptionSchema schema;
  loss->describe(schema);
  schema.apply(settings);
  loss->check();
  const auto alone = make_single_communicator();
  const GanLogits logits{
      at::full({1}, real, at::kDouble), at::full({1}, fake, at::kDouble), {}, {}, *alone, {0, 1, 1}};
  return {loss->discriminator(logits).item<double>(), loss->generator(logits).item<double>()};
}

void expect_parts(const Parts& found, double discriminator, double generator) {
  EXPECT_NEAR(found.discriminator, discriminator, 1e-12);
  EXPECT_NEAR(found.generator, generator, 1e-12);
}

double sigma(double x) {
  return 1 / (1 + std::exp(-x));
}

TEST(GanLoss, HasItsPapersValues) {
  expect_parts(parts("hinge", 0.25, -0.5), 0.75 + 0.5, 0.5);
  expect_parts(parts("hinge", 2, -3), 0, 3);
  expect_parts(parts("wasserstein", 0.25, -0.5), -0.75, 0.5);
  expect_parts(parts("logistic", 0.25, -0.5), -std::log(sigma(0.25)) - std::log(1 - sigma(-0.5)),
               -std::log(sigma(-0.5)));
  expect_parts(parts("minimax", 0.25, -0.5), -std::log(sigma(0.25)) - std::log(1 - sigma(-0.5)),
               std::log(1 - sigma(-0.5)));
  expect_parts(parts("lsgan", 0.25, -0.5), (0.5625 + 0.25) / 2, 2.25 / 2);
  expect_parts(parts("relativistic", 0.25, -0.5), -std::log(sigma(0.75)), -std::log(sigma(-0.75)));
  // The means of one image are its own logits.
  expect_parts(parts("relativistic_average", 0.25, -0.5), -std::log(sigma(0.75)) - std::log(1 - sigma(-0.75)),
               -std::log(sigma(-0.75)) - std::log(1 - sigma(0.75)));
}

TEST(GanLoss, SmoothsRealTargetsAlone) {
  const double entropy = -0.9 * std::log(sigma(0.25)) - 0.1 * std::log(1 - sigma(0.25));
  const double fake = -std::log(1 - sigma(-0.5));
  for (const std::string name : {"logistic", "minimax"}) {
    const Settings smooth{{name + ".real_target", {"0.9", "test"}}};
    EXPECT_NEAR(parts(name, 0.25, -0.5, smooth).discriminator, entropy + fake, 1e-12) << name;
    EXPECT_EQ(parts(name, 0.25, -0.5, smooth).generator, parts(name, 0.25, -0.5).generator) << name;
  }
}

TEST(GanLoss, LeastSquaresTakesItsPapersCodes) {
  const Settings pearson{{"lsgan.a", {"-1", "test"}}, {"lsgan.b", {"1", "test"}}, {"lsgan.c", {"0", "test"}}};
  expect_parts(parts("lsgan", 0.25, -0.5, pearson), (0.5625 + 0.25) / 2, 0.25 / 2);
  EXPECT_THROW(parts("lsgan", 0, 0, {{"lsgan.a", {"1", "test"}}}), Error);
}

/// Codes of the fakes, and what both losses make of two images a side.
at::Tensor two(double first, double second) {
  return at::tensor({first, second}, at::kDouble);
}

TEST(GanLoss, EnergiesAreMinusLogitsAndCodesPullAway) {
  const auto loss = make_gan_loss("ebgan");
  const auto alone = make_single_communicator();
  // The codes enclose 60 degrees: the square of their cosine is 1/4, for either of two ordered pairs.
  const at::Tensor codes = at::tensor({2.0, 0.0, 0.5, std::sqrt(0.75)}, at::kDouble).view({2, 2});
  const GanLogits logits{two(-0.5, -0.25), two(-0.75, -3), codes, {}, *alone, {0, 2, 2}};
  EXPECT_TRUE(at::allclose(loss->discriminator(logits), two(0.5 + 0.25, 0.25)));
  EXPECT_TRUE(at::allclose(loss->generator(logits), two(0.75 + 0.1 / 4, 3 + 0.1 / 4)));
}

TEST(GanLoss, PullsCodesApartWhereverTheyLie) {
  const SpreadImages images(5, 5);
  const auto loss = make_gan_loss("ebgan");
  const at::Tensor codes = images.draw({3}, "codes");
  const std::vector<at::Tensor> inputs{images.mine(codes).set_requires_grad(true)};
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    const at::Tensor none = at::zeros({at[0].size(0)}, at::kDouble);
    return loss->generator({none, none, at[0], {}, world(), images.layout()}).sum() / 5;
  };
  const at::Tensor unit = codes / codes.norm(2, {1}, true);
  const double all = at::mm(unit, unit.t()).square().sum().item<double>() - 5;
  EXPECT_NEAR(test::sum_over_ranks(part(inputs).item<double>()), 0.1 * all / (5 * 4), 1e-12);
  EXPECT_LT(test::gradient_error(part, inputs), 1e-8);
  EXPECT_LT(test::second_gradient_error(part, inputs), 1e-7);
}

TEST(GanLoss, BeganBalancesErrors) {
  const auto loss = make_gan_loss("began");
  const auto alone = make_single_communicator();
  at::Tensor k = loss->initial_state();
  const GanLogits start{two(-0.5, -0.25), two(-0.75, -3), {}, k, *alone, {0, 2, 2}};
  EXPECT_TRUE(at::allclose(loss->discriminator(start), two(0.5, 0.25)));  // k_0 = 0
  EXPECT_TRUE(at::allclose(loss->generator(start), two(0.75, 3)));
  loss->advance(k, two(-4, -1));  // errors' means: k = 0.001 (0.5 * 4 - 1)
  EXPECT_NEAR(k.item<double>(), 0.001, 1e-15);
  loss->advance(k, two(-1, -100));
  EXPECT_EQ(k.item<double>(), 0);
  loss->advance(k, two(-1e6, 0));
  EXPECT_EQ(k.item<double>(), 1);
  EXPECT_TRUE(at::allclose(loss->discriminator(start), two(0.5 - 0.75, 0.25 - 3)));
}

// At logits where float32's exponential overflows.
TEST(GanLoss, StaysFiniteFarOut) {
  for (const std::string& name : gan_loss_names())
    for (const double size : {-200.0, 200.0}) {
      const auto loss = make_gan_loss(name);
      const auto alone = make_single_communicator();
      const at::Tensor features = at::ones({1, 3}), state = loss->initial_state();
      at::Tensor fake = at::full({1}, size).set_requires_grad(true),
                 real = at::full({1}, -size).set_requires_grad(true);
      const GanLogits logits{real, fake, features, state, *alone, {0, 1, 1}};
      (loss->discriminator(logits) + loss->generator(logits)).sum().backward();
      EXPECT_TRUE(std::isfinite(fake.grad().item<double>())) << name;
      EXPECT_TRUE(std::isfinite(real.grad().item<double>())) << name;
    }
}

// The average is over all ranks' images, and so is its gradient.
TEST(GanLoss, AveragesLogitsWhereverTheirImagesLie) {
  const SpreadImages images(7, 7);
  const auto loss = make_gan_loss("relativistic_average");
  const at::Tensor real = images.draw({1}, "real").view({-1}), fake = images.draw({1}, "fake").view({-1});
  const auto part = [&](bool generator) {
    return test::LossPart([&, generator](const std::vector<at::Tensor>& at) {
      const GanLogits logits{at[0], at[1], {}, {}, world(), images.layout()};
      return (generator ? loss->generator(logits) : loss->discriminator(logits)).sum();
    });
  };
  for (const bool generator : {false, true}) {
    const std::vector<at::Tensor> inputs{images.mine(real).set_requires_grad(true),
                                         images.mine(fake).set_requires_grad(true)};
    const at::Tensor up = generator ? fake - real.mean() : real - fake.mean();
    const at::Tensor down = generator ? real - fake.mean() : fake - real.mean();
    const double expected = -(at::sigmoid(up).log() + (1 - at::sigmoid(down)).log()).sum().item<double>();
    EXPECT_NEAR(test::sum_over_ranks(part(generator)(inputs).item<double>()), expected, 1e-9);
    EXPECT_LT(test::gradient_error(part(generator), inputs), 1e-8);
    EXPECT_LT(test::second_gradient_error(part(generator), inputs), 1e-7);
  }
}

}  // namespace
}  // namespace ganymede
