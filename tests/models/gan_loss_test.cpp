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

// At logits where float32's exponential overflows.
TEST(GanLoss, StaysFiniteFarOut) {
  for (const std::string& name : gan_loss_names())
    for (const double size : {-200.0, 200.0}) {
      const auto loss = make_gan_loss(name);
      const auto alone = make_single_communicator();
      at::Tensor fake = at::full({1}, size).set_requires_grad(true),
                 real = at::full({1}, -size).set_requires_grad(true);
      const GanLogits logits{real, fake, {}, {}, *alone, {0, 1, 1}};
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
