// What processes say of an image at a time, and schedules.

#include <gtest/gtest.h>

#include <cmath>

#include "core/philox.h"
#include "models/diffusion/process.h"
#include "models/diffusion/processes/ddpm.h"
#include "models/diffusion/processes/edm.h"
#include "models/diffusion/processes/flow.h"

namespace ganymede {
namespace {

Ddpm ddpm(const std::string& prediction, double min_snr = 0, const std::string& schedule = "linear") {
  DdpmOptions options;
  options.schedule.kind = schedule;
  options.prediction = prediction;
  options.min_snr = min_snr;
  return Ddpm(options);
}

std::vector<std::unique_ptr<DiffusionProcess>> processes() {
  std::vector<std::unique_ptr<DiffusionProcess>> all;
  for (const char* prediction : {"eps", "x0", "v"})
    for (const std::string& schedule : NoiseSchedule::kinds())
      all.push_back(std::make_unique<Ddpm>(ddpm(prediction, 0, schedule)));
  all.push_back(std::make_unique<Edm>());
  all.push_back(std::make_unique<Flow>());
  FlowOptions uniform_times;
  uniform_times.times = "uniform";
  all.push_back(std::make_unique<Flow>(uniform_times));
  return all;
}

at::Tensor uniform(std::int64_t count) {
  return RandomStream({.seed = 1}).uniform(0, count, 1, at::kDouble).squeeze(1);
}

// Who has learned the target knows the image.
TEST(DiffusionProcess, TheTargetGivesTheImage) {
  const at::Tensor x0 = RandomStream({.seed = 2}).normal(0, 200, 1, at::kDouble).squeeze(1);
  const at::Tensor eps = RandomStream({.seed = 3}).normal(0, 200, 1, at::kDouble).squeeze(1);
  for (const auto& process : processes()) {
    const Coefficients c = process->coefficients(process->times(uniform(200)));
    const at::Tensor xt = c.alpha * x0 + c.sigma * eps;
    const at::Tensor image = c.keep * xt + c.gain * (c.target_image * x0 + c.target_noise * eps);
    EXPECT_LE((image - x0).abs().max().item<double>(), 1e-9);
    EXPECT_TRUE((c.weight > 0).all().item<bool>());
  }
}

TEST(DiffusionProcess, APathGoesFromNoiseTowardsTheImage) {
  for (const auto& process : processes())
    for (const char* spacing : {"trailing", "leading"})
      for (const std::int64_t steps : {1, 7, 50}) {
        const at::Tensor times = process->path(steps, spacing);
        ASSERT_EQ(times.numel(), steps);
        const Coefficients c = process->coefficients(times);
        const at::Tensor ratio = c.sigma / c.alpha;
        if (steps > 1) {
          EXPECT_TRUE((ratio.slice(0, 1) < ratio.slice(0, 0, steps - 1)).all().item<bool>());
        }
        EXPECT_GT(ratio[-1].item<double>(), 0);
      }
}

TEST(DiffusionProcess, SpacesWholeTimes) {
  const Ddpm process;
  EXPECT_TRUE(at::equal(process.path(4, "trailing"), at::tensor({999., 749., 499., 249.}, at::kDouble)));
  EXPECT_TRUE(at::equal(process.path(4, "leading"), at::tensor({750., 500., 250., 0.}, at::kDouble)));
  EXPECT_EQ(process.path(1000, "trailing")[-1].item<double>(), 0);
}

// Karras et al.: of unit variance are the network's input and its target, whatever sigma.
TEST(Edm, KeepsVariancesAtOne) {
  const double data = 0.3;
  EdmOptions options;
  options.sigma_data = data;
  const Edm process(options);
  const Coefficients c = process.coefficients(at::tensor({0.01, 0.3, 1.0, 50.0}, at::kDouble));
  const at::Tensor input = c.scale.square() * (data * data + c.sigma.square());
  const at::Tensor target = c.target_image.square() * data * data + c.target_noise.square();
  EXPECT_LE((input - 1).abs().max().item<double>(), 1e-12);
  EXPECT_LE((target - 1).abs().max().item<double>(), 1e-12);
}

TEST(Edm, DrawsLogNormalNoise) {
  const at::Tensor logarithm = Edm().times(uniform(20000)).log();
  EXPECT_NEAR(logarithm.mean().item<double>(), -1.2, 0.03);
  EXPECT_NEAR(logarithm.std().item<double>(), 1.2, 0.03);
}

TEST(Flow, DrawsLogitNormalTimes) {
  FlowOptions options;
  options.mean = 0.5;
  options.deviation = 2;
  const at::Tensor logit = Flow(options).times(uniform(20000)).logit();
  EXPECT_NEAR(logit.mean().item<double>(), 0.5, 0.06);
  EXPECT_NEAR(logit.std().item<double>(), 2, 0.05);
}

// min-SNR weighs the error of x_0 alike, whatever is predicted.
TEST(Ddpm, MinSnrIsOfTheImage) {
  const at::Tensor times = at::arange(0, 1000, 37, at::kDouble);
  for (const char* prediction : {"eps", "x0", "v"}) {
    const Coefficients c = ddpm(prediction, 5).coefficients(times);
    const at::Tensor snr = (c.alpha / c.sigma).square();
    // An error e of F is one of gain e of the image.
    EXPECT_LE((c.weight / c.gain.square() / snr.clamp_max(5) - 1).abs().max().item<double>(), 1e-9)
        << prediction;
  }
}

/// The bound at time t with v in the place of the variance, of one pixel.
double bound_of(const Ddpm& process, double t, double x0, double eps, double v, double error) {
  const at::Tensor times = at::tensor({t}, at::kDouble);
  const Coefficients c = process.coefficients(times);
  const auto pixel = [](double value) { return at::full({1, 1, 1, 1}, value, at::kDouble); };
  const double xt = c.alpha.item<double>() * x0 + c.sigma.item<double>() * eps;
  const double estimate = c.keep.item<double>() * xt + c.gain.item<double>() * (eps + error);
  return process.bound(pixel(x0), pixel(xt), pixel(estimate), pixel(v), times).item<double>();
}

// Against the definitions, with figures of their own.
TEST(Ddpm, TheBoundIsADivergenceAndALikelihood) {
  const Ddpm process;
  const at::Tensor betas = NoiseSchedule{}.betas();
  const auto beta = [&](std::int64_t t) { return betas[t].item<double>(); };
  double bar = 1, before = 1;
  for (std::int64_t t = 0; t <= 300; ++t) {
    before = bar;
    bar *= 1 - beta(t);
  }
  const double posterior = (1 - before) / (1 - bar) * beta(300);
  // An exact mean and the posterior's variance: nothing is lost.
  EXPECT_NEAR(bound_of(process, 300, 0.4, -0.7, -1, 0), 0, 1e-12);
  // An error e of eps moves the mean by beta / (sqrt(1 - bar) sqrt(1 - beta)) e.
  const double moved = beta(300) / std::sqrt((1 - bar) * (1 - beta(300))) * 0.1;
  EXPECT_NEAR(bound_of(process, 300, 0.4, -0.7, -1, 0.1), moved * moved / (2 * posterior) / std::log(2.0),
              1e-9);
  // The forward variance in the place of the posterior's.
  const double ratio = posterior / beta(300);
  EXPECT_NEAR(bound_of(process, 300, 0.4, -0.7, 1, 0), 0.5 * (ratio - 1 - std::log(ratio)) / std::log(2.0),
              1e-12);
  // At the end: the mass of a byte's interval under the normal around the mean.
  const double deviation = std::sqrt(beta(0)), value = 4.0 / 255;
  const double mass = std::erf(1 / (255 * deviation * std::sqrt(2.0)));
  EXPECT_NEAR(bound_of(process, 0, value, 0.3, 1, 0), -std::log2(mass), 1e-9);
}

}  // namespace
}  // namespace ganymede
